"""Which image has a stand-in, and how stand-ins are named and labelled. Imports nothing."""

STAND_INS = {
    "postgres:16": "groundwork/postgres:16-standin",
    "redis:7-alpine": "groundwork/redis:7-standin",
}
# Debian 12, whatever the machine runs: it has Redis 7, Debian 13 has 8.
SUITE = "bookworm"
BASE = f"groundwork/debian:{SUITE}-standin"
# What a release image may be built on: Debian 13's Python.
RELEASE_BASE = "groundwork/python:3.13-standin"
RELEASE_SUITE = "trixie"
LABEL = "groundwork.stand-in"


def stand_in_of(reference: str) -> str | None:
    """Return the image that stands in for `reference`; None for any image but the default ones."""
    return STAND_INS.get(reference)
