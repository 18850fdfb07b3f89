"""Where the ground's versions come from: a remote of the user's choice, and the tags of releases that it has."""

import re
from urllib.parse import urlsplit, urlunsplit

from infra.commands.ground.git import Git, GitFailed, GroundError
from infra.commands.ground.pyproject import Record

_RELEASE = re.compile(r"refs/tags/(v(\d+)\.(\d+)\.(\d+))(?:\^\{\})?")


def without_password(remote: str) -> str:
    """Return an address as it may be committed: a user and password in an http address are left out."""
    parts = urlsplit(remote)
    if parts.scheme not in {"http", "https"}:
        return remote
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def address_of(git: Git, name: str) -> str:
    """Return the address of one of git's remotes, as it may be committed; empty where there is no such remote."""
    return without_password(git("config", "--get", f"remote.{name}.url", may_fail=True).strip())


def releases(git: Git, remote: str) -> dict[str, str]:
    """Return the releases (vX.Y.Z) of a remote, oldest first, and the object of each tag.

    Raises:
        GroundError: the remote cannot be read, or has no release.
    """
    try:
        lines = git("ls-remote", "--tags", "--", remote).splitlines()
    except GitFailed as error:
        raise GroundError(
            f"The remote {without_password(remote)} cannot be read. {error} Nothing was changed. "
            "Name another one with --remote: an address, or the name of one of git's remotes."
        ) from None
    found = [(match, line.split()[0]) for line in lines if (match := _RELEASE.fullmatch(line.split()[1]))]
    # The line of what an annotated tag points to comes after that of the tag.
    found.sort(key=lambda each: tuple(map(int, each[0].groups()[1:])))
    if not found:
        raise GroundError(
            f"The remote {without_password(remote)} has no release: no tag vX.Y.Z. Nothing was changed. "
            "Name the ground's repository with --remote."
        )
    return {match[1]: commit for match, commit in found}


def chosen(known: dict[str, str], tag: str, remote: str) -> str:
    """Return the release that is meant: the newest one unless a tag is given.

    Raises:
        GroundError: there is no such tag; names the newest ones.
    """
    if not tag:
        return [*known][-1]
    if tag not in known:
        newest = ", ".join([*known][-5:])
        raise GroundError(
            f"{without_password(remote)} has no release {tag}; its newest are {newest}. Nothing was changed. "
            "`invoke update` without a tag takes the newest one."
        )
    return tag


def fetch(git: Git, remote: str, reference: str) -> None:
    """Fetch the objects of a reference or commit; no branch, tag or note of the repository is written."""
    git("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--", remote, reference)


def fetch_base(git: Git, remote: str, record: Record, known: dict[str, str]) -> str:
    """Return the commit that a product has recorded as its base; fetch it where this repository does not have it.

    A server may hand out what its tags and branches name and nothing else, so those are asked first.

    Raises:
        GroundError: the remote does not have it.
    """
    for reference in (f"refs/tags/v{record.ground}", "HEAD", record.base):
        if base := git.commit_of(record.base):
            return base
        try:
            if not reference.startswith("refs/tags/") or reference.removeprefix("refs/tags/") in known:
                fetch(git, remote, reference)
        except GitFailed:  # the next one may have it
            continue
    if base := git.commit_of(record.base):
        return base
    raise GroundError(
        f"The base that this product began from, {record.base} ({record.ground}), is neither here nor at "
        f"{without_password(remote)}. Nothing was changed. Name the remote that has it with --remote."
    )
