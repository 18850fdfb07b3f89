"""Get the declared images: local first, then the registry, then a stand-in."""

import queue
import sys
import threading
import time
from datetime import timedelta
from typing import Any

from infra.backends.docker.engine import Client
from infra.backends.protocol import Say
from infra.config.errors import ConfigError, ImageUnavailable
from infra.images.names import stand_in_of

STALL = timedelta(seconds=60)
_Events = queue.Queue[dict[str, Any] | Exception | None]


def image_id(client: Client, reference: str) -> str | None:
    """Return the id of a local image, None where it is not on this machine."""
    from docker.errors import ImageNotFound

    try:
        return str(client.inspect_image(reference)["Id"])  # type: ignore[no-untyped-call]  # its stub has no types
    except ImageNotFound:
        return None


def refuse_other_version(client: Client, reference: str, version: int) -> None:
    """Refuse an image of another PostgreSQL than `version`, as far as it says what it holds.

    The official image says so in PG_MAJOR, and with it those that are made from it; of another the first probe asks.

    Raises:
        ConfigError: names the version that it is of.
    """
    described = client.inspect_image(reference)  # type: ignore[no-untyped-call]  # its stub has no types
    found = dict(pair.split("=", 1) for pair in described["Config"]["Env"] or ()).get("PG_MAJOR", str(version))
    if found != str(version):
        raise ConfigError(
            f"The image {reference} is PostgreSQL {found}, and POSTGRES_VERSION asks for {version}. Nothing was "
            f"started or changed. Set POSTGRES_VERSION={found}, or leave POSTGRES_IMAGE empty, or name an image of "
            f"PostgreSQL {version} there.",
            setting="POSTGRES_VERSION",
        )


def obtain(client: Client, reference: str, deadline: timedelta | None, say: Say, *, stall: timedelta = STALL) -> str:
    """Return the reference of a local image that serves for `reference`, pulling it where it is missing.

    Where the pull fails, the stand-in serves if it was built. `deadline` bounds the whole pull, and `stall` the time
    in which nothing of it arrives.

    Raises:
        ImageUnavailable: the image is neither here nor to be had.
    """
    if image_id(client, reference) is not None:
        return reference
    try:
        _pull(client, reference, deadline, stall, say)
    except ImageUnavailable as failure:
        stand_in = stand_in_of(reference)
        if stand_in is None or image_id(client, stand_in) is None:
            raise
        say(f"{reference} cannot be pulled ({failure.reason}); using the stand-in {stand_in}")
        return stand_in
    return reference


def _pull(client: Client, reference: str, deadline: timedelta | None, stall: timedelta, say: Say) -> None:
    """Pull with progress; give up when nothing arrives for as long as `stall`, or `deadline` has passed."""
    from infra.backends.docker.progress import progress_on

    say(f"pulling {reference}")
    ends = time.monotonic() + (deadline.total_seconds() if deadline else float("inf"))
    events: _Events = queue.Queue()
    # The SDK reads the stream without a time limit, so a thread reads it and this one keeps the time.
    threading.Thread(target=_read, args=(client, reference, events), daemon=True).start()
    progress = progress_on(sys.stderr, reference, say)
    while True:
        try:
            event = events.get(timeout=max(0.0, min(stall.total_seconds(), ends - time.monotonic())))
        except queue.Empty:
            raise _unavailable(reference, _why_given_up(ends, stall)) from None
        if event is None:
            return
        if isinstance(event, Exception):
            raise _unavailable(reference, str(getattr(event, "explanation", None) or event))
        if "error" in event:
            raise _unavailable(reference, event["error"])
        progress.add(event)


def _why_given_up(ends: float, stall: timedelta) -> str:
    ran_out = time.monotonic() >= ends
    return "the time for it ran out" if ran_out else f"nothing arrived for {stall.total_seconds():g} s"


def _read(client: Client, reference: str, events: _Events) -> None:
    try:
        for event in client.pull(reference, stream=True, decode=True):
            events.put(event)
        events.put(None)
    except Exception as error:  # carried to the thread that waits, which says what it means
        events.put(error)


def _unavailable(reference: str, reason: str) -> ImageUnavailable:
    reason = reason.strip().rstrip(".")
    return ImageUnavailable(
        f"The image {reference} is not on this machine and cannot be pulled: {reason}. Load it with "
        "`docker load -i`, build a stand-in with `invoke build-images`, name another with POSTGRES_IMAGE or "
        "REDIS_IMAGE or in infra/product/services.py, or set STACK_BACKEND=embedded.",
        reason=reason,
    )
