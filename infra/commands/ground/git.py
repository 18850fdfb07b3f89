"""Git, run in a folder: without what a hook may have set, without hooks of the user's, and never translated."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.config.errors import EnvironmentFault, InfraError

# What git sets for its hooks, and would lead it to another repository (`git rev-parse --local-env-vars`).
_OF_ONE_REPOSITORY = {
    *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_DIR", "GIT_GRAFT_FILE"),
    *("GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX", "GIT_NO_REPLACE_OBJECTS"),
    *("GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_REPLACE_REF_BASE", "GIT_SHALLOW_FILE", "GIT_WORK_TREE"),
}
_CONFIG = {
    "core.hooksPath": "/dev/null",
    "core.quotePath": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "merge.directoryRenames": "false",  # a file of the product's stays where it is, whatever the ground moves
    "merge.renames": "true",
    "rerere.enabled": "false",
    "submodule.recurse": "false",
}
_NOBODY = {"NAME": "groundwork", "EMAIL": "groundwork@localhost"}


class GroundError(InfraError):
    """The checkout, its repository or the remote is not what `init` and `update` need; nothing was changed."""


class GitFailed(GroundError):
    """Git ended with an error."""


def clean_environment() -> dict[str, str]:
    """Return the environment without what belongs to one repository, for git and for what may run git."""
    return {key: value for key, value in os.environ.items() if key not in _OF_ONE_REPOSITORY}


@dataclass(frozen=True, slots=True)
class Git:
    """Git in a folder; output is bytes of files and names, taken as UTF-8 where they are, and kept where not."""

    folder: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, *words: str, stdin: str = "", may_fail: bool = False, own_group: bool = False) -> str:
        """Run git to its end and return what it printed; `own_group` keeps a terminal's Ctrl-C from it.

        Raises:
            GitFailed: it ended with an error, unless it `may_fail`; then what it printed is returned.
            EnvironmentFault: git is not installed.
        """
        options = (word for key, value in _CONFIG.items() for word in ("-c", f"{key}={value}"))
        language = {"LC_ALL": "C", "LANGUAGE": "C"}
        # Without a terminal nobody can answer: git would wait for a password.
        prompt = {} if sys.stdin.isatty() else {"GIT_TERMINAL_PROMPT": "0"}
        try:
            done = subprocess.run(
                ["git", *options, *words],
                cwd=self.folder,
                env={**clean_environment(), **prompt, **language, **self.environ},
                input=stdin.encode("utf-8", "surrogateescape"),
                capture_output=True,
                check=False,
                start_new_session=own_group,
            )
        except FileNotFoundError:
            raise EnvironmentFault("git is not installed. Install it and run the command again.") from None
        if done.returncode and not may_fail:
            said = " ".join(done.stderr.decode("utf-8", "replace").split())
            raise GitFailed(f"`git {words[0]}` failed in {self.folder}: {said}")
        return done.stdout.decode("utf-8", "surrogateescape")

    def names(self, *words: str) -> list[str]:
        """Run git with -z and return the parts of what it printed."""
        return [part for part in self(*words, "-z").split("\0") if part]

    def commit_of(self, name: str) -> str:
        """Return the commit that a name stands for, empty where there is none."""
        return self("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}", may_fail=True).strip()

    def text(self, treeish: str, path: str) -> str:
        """Return the text of a file in a tree; empty where there is none."""
        return self("cat-file", "blob", f"{treeish}:{path}", may_fail=True)

    def commit(self, tree: str, message: str, *parents: str) -> str:
        """Make a commit of a tree, by the user where git knows one, and return it; no branch gets it."""
        words = [word for parent in parents for word in ("-p", parent)]
        return self._by_somebody()("commit-tree", tree, *words, stdin=message).strip()

    def tag(self, name: str, commit: str, message: str) -> None:
        """Make a tag with a message, by the user where git knows one; headings of the message are kept."""
        self._by_somebody()("tag", "--annotate", "--cleanup=verbatim", "--file=-", name, commit, stdin=message)

    def _by_somebody(self) -> "Git":
        """Return git with a person for what it does not know of the user."""
        unknown = {
            f"GIT_{role}_{part}": text
            for role in ("AUTHOR", "COMMITTER")
            if not self("var", f"GIT_{role}_IDENT", may_fail=True)
            for part, text in _NOBODY.items()
        }
        return Git(self.folder, {**self.environ, **unknown})
