"""Get the declared images: local first, then the registry, then a stand-in."""

import queue
import threading
import time
from datetime import timedelta
from typing import Any

from infra.backend import Say
from infra.docker_backend.engine import Client
from infra.errors import ImageUnavailable
from infra.images.names import stand_in_of

_STALL_SECONDS = 60
_PROGRESS_SECONDS = 3
_Events = queue.Queue[dict[str, Any] | Exception | None]


def image_id(client: Client, reference: str) -> str | None:
    """Return the id of a local image, None where it is not on this machine."""
    from docker.errors import ImageNotFound

    try:
        return str(client.inspect_image(reference)["Id"])
    except ImageNotFound:
        return None


def obtain(client: Client, reference: str, deadline: timedelta | None, say: Say) -> str:
    """Return the reference of a local image that serves for `reference`, pulling it where it is missing.

    Where the pull fails, the stand-in serves if it was built. `deadline` bounds the whole pull.

    Raises:
        ImageUnavailable: the image is neither here nor to be had.
    """
    if image_id(client, reference) is not None:
        return reference
    try:
        _pull(client, reference, deadline, say)
    except ImageUnavailable as failure:
        stand_in = stand_in_of(reference)
        if stand_in is None or image_id(client, stand_in) is None:
            raise
        say(f"{reference} cannot be pulled ({failure.reason}); using the stand-in {stand_in}")
        return stand_in
    return reference


def _pull(client: Client, reference: str, deadline: timedelta | None, say: Say) -> None:
    """Pull with progress; give up when nothing arrives for a minute or `deadline` has passed."""
    say(f"pulling {reference}")
    ends = time.monotonic() + (deadline.total_seconds() if deadline else float("inf"))
    events: _Events = queue.Queue()
    # The SDK reads the stream without a time limit, so a thread reads it and this one keeps the time.
    threading.Thread(target=_read, args=(client, reference, events), daemon=True).start()
    progress = _Progress(reference, say)
    while True:
        try:
            event = events.get(timeout=max(0.0, min(_STALL_SECONDS, ends - time.monotonic())))
        except queue.Empty:
            raise _unavailable(reference, _why_given_up(ends)) from None
        if event is None:
            return
        if isinstance(event, Exception):
            raise _unavailable(reference, str(getattr(event, "explanation", None) or event))
        if "error" in event:
            raise _unavailable(reference, event["error"])
        progress.add(event)


def _why_given_up(ends: float) -> str:
    return "the time for it ran out" if time.monotonic() >= ends else f"nothing arrived for {_STALL_SECONDS} s"


def _read(client: Client, reference: str, events: _Events) -> None:
    try:
        for event in client.pull(reference, stream=True, decode=True):
            events.put(event)
        events.put(None)
    except Exception as error:  # carried to the thread that waits, which says what it means
        events.put(error)


class _Progress:
    """Says every few seconds how much of the layers is here."""

    def __init__(self, reference: str, say: Say) -> None:
        self._reference = reference
        self._say = say
        self._layers: dict[str, tuple[int, int]] = {}
        self._next = time.monotonic() + _PROGRESS_SECONDS

    def add(self, event: dict[str, Any]) -> None:
        detail = event.get("progressDetail") or {}
        if event.get("status") == "Downloading" and detail.get("total"):
            self._layers[event["id"]] = (detail["current"], detail["total"])
        if self._layers and time.monotonic() >= self._next:
            self._next = time.monotonic() + _PROGRESS_SECONDS
            here, total = (sum(part) / 1e6 for part in zip(*self._layers.values(), strict=True))
            self._say(f"pulling {self._reference}: {here:.0f} of {total:.0f} MB")


def _unavailable(reference: str, reason: str) -> ImageUnavailable:
    reason = reason.strip().rstrip(".")
    return ImageUnavailable(
        f"The image {reference} is not on this machine and cannot be pulled: {reason}. Load it with "
        "`docker load -i`, build a stand-in with `invoke build-images`, name another with POSTGRES_IMAGE or "
        "REDIS_IMAGE, or set STACK_BACKEND=embedded.",
        reason=reason,
    )
