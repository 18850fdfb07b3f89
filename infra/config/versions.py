"""Which servers the product may stand on."""

from enum import StrEnum

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


def listed(versions: tuple[int, ...]) -> str:
    """Return versions as a sentence names them, such as "16, 17 and 18"."""
    *before, last = map(str, versions)
    return f"{', '.join(before)} and {last}" if before else last
