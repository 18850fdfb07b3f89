"""The bases of images: minimal Debian roots, each imported as an image."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from infra.config.errors import EnvironmentFault
from infra.images.engine import Engine
from infra.images.names import BASE, LABEL, NEWER_BASE, NEWER_SUITE, RELEASE_BASE, SUITE


class Root(NamedTuple):
    """A Debian root: the image that it becomes, its suite, and what it has besides the least that Debian is."""

    reference: str
    suite: str
    packages: tuple[str, ...] = ()


STAND_IN_ROOT = Root(BASE, SUITE)
NEWER_ROOT = Root(NEWER_BASE, NEWER_SUITE)
RELEASE_ROOT = Root(RELEASE_BASE, NEWER_SUITE, ("python3", "python3-venv"))
# Opens the stream of a root made from apt sources.
Tool = Callable[[Root, list[str]], AbstractContextManager[Iterator[bytes]]]

_CHUNK = 1 << 20
# Documentation and translations are a quarter of a minimal root, and no server reads them.
_LEFT_OUT = tuple(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "info", "locale", "man"))


def ensure_root(
    engine: Engine, root: Root = STAND_IN_ROOT, *, progress: Callable[[str], None], force: bool = False
) -> None:
    """Make the image of a root where it is missing or `force` asks for it; its tree goes to the engine as a stream.

    Raises:
        EnvironmentFault: not root, no tool that makes a Debian root, no Debian mirror, or the tool failed.
    """
    if engine.images(name=root.reference) and not force:
        progress(f"{root.reference} is there and is used again")
        return
    tool = _tool(root)
    progress(f"building {root.reference} with {tool.__name__.strip('_')}")
    repository, tag = root.reference.split(":")
    with tool(root, debian_sources(_apt_targets(), root.suite)) as tree:
        status = engine.import_image_from_stream(tree, repository=repository, tag=tag, changes=[f"LABEL {LABEL}=base"])
    if '"error"' in status:
        raise EnvironmentFault(
            f"The engine could not import {root.reference}: {status.strip()}. Correct the cause and try again."
        )


def _tool(root: Root) -> Tool:
    if os.geteuid() != 0:
        raise EnvironmentFault(
            f"Only root can make a Debian root, which {root.reference} is made of. Run the command once as root; "
            "the images serve every user of the engine."
        )
    for name, tool in (("mmdebstrap", _mmdebstrap), ("debootstrap", _debootstrap)):
        if shutil.which(name):
            return tool
    raise EnvironmentFault(
        "Neither mmdebstrap nor debootstrap is installed, and one of them makes the base of the images. "
        "Install it with `apt-get install mmdebstrap` and run the command again.",
        lacking="mmdebstrap",
    )


def debian_sources(targets: str, suite: str = SUITE) -> list[str]:
    """Turn apt's index targets (`origin|codename|URI` lines) into sources of a suite, its main archive first.

    Where the machine runs another suite, its mirrors are taken for this one's: a Debian mirror holds them all.

    Raises:
        EnvironmentFault: apt has no Debian mirror, or has never read its index.
    """
    kept = (suite, f"{suite}-updates", f"{suite}-security")
    rows = [row.split("|") for row in targets.splitlines()]
    debian = {(codename, uri) for origin, codename, uri in rows if origin == "Debian"}
    if not any(codename in kept for codename, _ in debian):
        debian = {(re.sub("^[a-z]+", suite, codename), uri) for codename, uri in debian}
    found = sorted((kept.index(codename), uri) for codename, uri in debian if codename in kept)
    if not found or found[0][0] != 0:
        raise EnvironmentFault(
            "apt on this machine knows no Debian mirror from which the base of the images could be made. "
            "Run `apt-get update` (on Debian) and run the command again."
        )
    return [f"deb {uri} {kept[place]} main" for place, uri in found]


def _apt_targets() -> str:
    # apt says it in one form for both formats of its source files.
    return _output("apt-get", "indextargets", "--format", "$(ORIGIN)|$(CODENAME)|$(REPO_URI)", "Created-By: Packages")


def _apt_options() -> list[str]:
    """Return the machine's checks of an index's age: a mirror frozen in time is of no use without them."""
    return [line for line in _output("apt-config", "dump").splitlines() if line.startswith("Acquire::Check-")]


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise EnvironmentFault(
            f"`{command[0]}` cannot be asked for this machine's Debian mirror: {error}. Run it by "
            "hand, correct what it says and run the command again."
        ) from None


@contextmanager
def _mmdebstrap(root: Root, sources: list[str]) -> Iterator[Iterator[bytes]]:
    options = [f"--aptopt={option}" for option in _apt_options()]
    command = ["mmdebstrap", "--variant=minbase", *_include(root), *_LEFT_OUT, *options, root.suite, "-", "-"]
    with tempfile.TemporaryFile("w+") as text:
        # By standard input and not as arguments: a mirror's URI may hold a password.
        text.writelines(f"{line}\n" for line in sources)
        text.seek(0)
        with closing(streamed(command, stdin=text)) as tree:
            yield tree


@contextmanager
def _debootstrap(root: Root, sources: list[str]) -> Iterator[Iterator[bytes]]:
    with tempfile.TemporaryDirectory() as folder:
        mirror = sources[0].split()[1]
        for _ in streamed(["debootstrap", "--variant=minbase", *_include(root), root.suite, folder, mirror]):
            pass  # its messages; a failure raises
        Path(folder, "etc/apt/sources.list").write_text("\n".join((*sources, "")), encoding="utf-8")
        Path(folder, "etc/apt/apt.conf.d/99options").write_text("\n".join((*_apt_options(), "")), encoding="utf-8")
        shutil.rmtree(Path(folder, "var/cache/apt/archives"))
        with closing(streamed(["tar", "--create", "--numeric-owner", "--directory", folder, "."])) as tree:
            yield tree


def _include(root: Root) -> list[str]:
    return [f"--include={','.join(root.packages)}"] if root.packages else []


def streamed(command: list[str], stdin: IO[str] | None = None) -> Generator[bytes, None, None]:
    """Yield what a command writes, as it comes.

    Raises:
        EnvironmentFault: the command failed. Raised in the stream, so that no reader takes a part for the whole.
    """
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors)
        with process:
            try:
                assert process.stdout is not None  # noqa: S101  # Popen types it as optional
                while chunk := process.stdout.read(_CHUNK):
                    yield chunk
            except BaseException:
                process.terminate()
                raise
        if process.returncode:
            errors.seek(0)
            raise _failure(command[0], process.returncode, errors.read())


def _failure(program: str, code: int, output: str) -> EnvironmentFault:
    fault = EnvironmentFault(
        f"{program} could not make the Debian root (exit {code}). Its last lines follow; correct their cause (a mirror "
        "out of reach, a full disk?) and run the command again."
    )
    fault.add_note("\n".join(output.splitlines()[-12:]))
    return fault
