"""Which image has a stand-in, and how stand-ins are named and labelled. Imports nothing."""

STAND_INS = {
    "postgres:16": "groundwork/postgres:16-standin",
    "postgres:17": "groundwork/postgres:17-standin",
    "postgres:18": "groundwork/postgres:18-standin",
    "redis:7-alpine": "groundwork/redis:7-standin",
    "redis:8-alpine": "groundwork/redis:8-standin",
    "valkey/valkey:8-alpine": "groundwork/valkey:8-standin",
}
# Debian 12 and 13, whatever the machine runs: the one has Redis 7, the other Redis 8, Valkey 8 and PostgreSQL 17.
SUITE, NEWER_SUITE = "bookworm", "trixie"
BASE = f"groundwork/debian:{SUITE}-standin"
NEWER_BASE = f"groundwork/debian:{NEWER_SUITE}-standin"
# What a release image may be built on: Debian 13's Python.
RELEASE_BASE = "groundwork/python:3.13-standin"
LABEL = "groundwork.stand-in"


def stand_in_of(reference: str) -> str | None:
    """Return the image that stands in for `reference`; None for any image but those of the versions."""
    return STAND_INS.get(reference)
