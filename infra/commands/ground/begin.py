"""`invoke init`: a checkout of the ground becomes a product's own."""

import keyword
import re
import sys
from pathlib import Path

from infra.commands.ground import pyproject
from infra.commands.ground.checkout import land, require_clean
from infra.commands.ground.git import Git, GroundError
from infra.commands.ground.install import line as install_line
from infra.commands.ground.pyproject import Record, called
from infra.commands.ground.remote import address_of
from infra.commands.ground.trees import Tree, read_tree, with_file, write_tree
from infra.config.database_names import NAMES, why_no_name
from infra.config.ground import DEFAULT_NAME
from schema.migration.layout import laid_out

# A name as pip normalises it (PEP 508, PEP 503), which containers and folders can be called as well.
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 63  # characters: of a host's name (RFC 1123)
NAMING = ("migrations/versions/", "schema/models/")
"""Folders whose files name what is in the database. Other Python may have an `app` of its own."""
_FOLDERS = {"infra", "migrations", "schema", "tests"}
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)
_README = """# {name}

What {name} is, in a sentence.

## Begin

```sh
{install} && .venv/bin/invoke up migrate
.venv/bin/pytest
```

`invoke --list` names the commands. What is the product's own: `schema/models/`, `migrations/versions/`,
`tests/product/`, `infra/product/` and this page. All else is the ground's, groundwork {ground}, and `invoke update`
brings its next version.
"""


def begin(
    checkout: Path, name: str, base: str = "", database_name: str = DEFAULT_NAME, *, fresh_history: bool = False
) -> Record:
    """Make a checkout of the ground a product's own, with one commit, and return what was recorded.

    With a `database_name`, what migrations and models name in the database is called so.
    `base` is the ground's commit that it began from, where it is not the last one. With `fresh_history` that one
    commit has no parent; what other branches and tags name is kept.

    Raises:
        GroundError: the name cannot be used, the checkout is a product's already, has changes, or commits of its own.
    """
    git = Git(checkout)
    head = require_clean(git)
    text = git.text(head, pyproject.PATH)
    document = pyproject.read(text, "this checkout")
    if former := pyproject.record_of(document):
        raise GroundError(
            f"This checkout is a product's already: {document['project']['name']}, on groundwork {former.ground}. "
            "Nothing was changed. `invoke update` brings it to another version."
        )
    require_name(name, document["project"]["name"], git.text(head, "constraints.txt"))
    require_database_name(database_name)
    origin = _base(git, head, base)
    grounds = git.text(origin, pyproject.PATH)
    ground = str(pyproject.read(grounds, f"the commit {origin}")["project"].get("version", ""))
    record = Record(ground, origin, address_of(git, "origin"))
    tree = read_tree(git, head)
    if git.text(head, "README.md") in {"", git.text(origin, "README.md")}:
        readme = _README.format(name=name, ground=ground, install=install_line(tree, document))
        tree = with_file(git, tree, "README.md", readme)
    tree = with_file(git, tree, pyproject.PATH, pyproject.begun(text, grounds, name, record, database_name))
    if database_name != DEFAULT_NAME:
        tree = _with_database_name(git, tree, database_name)
    message = f"Begin {name} on groundwork {ground}\n"
    land(git, head, git.commit(write_tree(git, tree), message, *(() if fresh_history else (head,))))
    return record


def require_name(name: str, ground: str, constraints: str) -> None:
    """Refuse what is no name for a product; `ground` is what the ground is called.

    Raises:
        GroundError: says why, and what a name looks like.
    """
    taken = {re.sub(r"[-_.]+", "-", pin).lower() for pin in _PIN.findall(constraints)}
    wrong = None
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        wrong = "is no name of a package, a container and a folder at once"
    elif keyword.iskeyword(name) or name in sys.stdlib_module_names:
        wrong = "is a word or module of Python's own"
    elif name in _FOLDERS:
        wrong = "is a folder of the ground's"
    elif name == ground:
        wrong = "is what the ground is called"
    elif name in taken:
        wrong = "is a library that the ground installs"
    if wrong:
        raise GroundError(
            f"{name!r} {wrong}. Nothing was changed. Write lower-case letters, digits and single hyphens, "
            f"a letter first, at most {_LONGEST}: `invoke init shop` or `invoke init our-shop`."
        )


def require_database_name(name: str) -> None:
    """Refuse what the database, its schema of functions and its roles cannot be called.

    Raises:
        GroundError: says why, and what a name looks like.
    """
    if wrong := why_no_name(name):
        raise GroundError(
            f"--database-name {name!r} {wrong}. Nothing was changed. Write {NAMES}: `--database-name shop` makes the "
            "database shop and the roles shop_owner, shop_user and shop_maintenance."
        )


def _with_database_name(git: Git, tree: Tree, name: str) -> Tree:
    """Return a tree whose migrations and models call the database's objects by this name."""
    for path in [path for path in tree if path.startswith(NAMING) and path.endswith(".py")]:
        source = git("cat-file", "blob", tree[path].split()[-1])
        if (written := called(source, name)) != source:
            tree = with_file(git, tree, path, laid_out(written, git.folder / path))
    return tree


def _base(git: Git, head: str, named: str) -> str:
    """Return the ground's commit that a checkout began from.

    Raises:
        GroundError: the commit that was named is not part of its history, or there are commits that no remote has.
    """
    if named:
        base = git.commit_of(named)
        if not base or git("merge-base", base, head, may_fail=True).strip() != base:
            raise GroundError(
                f"{named} is no commit that this checkout began from. Nothing was changed. "
                "`git log` shows them: give the last one of the ground's."
            )
        return base
    own = git("rev-list", "--reverse", head, "--not", "--remotes", "--tags").split()
    if own and git("for-each-ref", "--count=1", "refs/remotes", "refs/tags"):
        raise GroundError(
            f"{len(own)} commits of this checkout are at no remote and under no tag, so that they seem to be your own, "
            f"and an update would take them for the ground's. Nothing was changed. Name the ground's last commit: "
            f"`invoke init NAME --base {own[0][:12]}~`, or --base HEAD if all are the ground's."
        )
    return head
