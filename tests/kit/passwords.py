"""Passwords that are hard to keep: of every character that something on their way takes for its own."""

from infra.config.settings import CHECKOUT

# Stands between any two special characters, and no way of quoting changes it: whatever shows a password, raw or
# quoted for a URL, a shell, JSON or Python, whole or cut at a character that means something, shows this too.
NEEDLE = "Zq7"
KEYS = ("POSTGRES_PASSWORD", "APP_OWNER_PASSWORD", "APP_USER_PASSWORD", "APP_MAINTENANCE_PASSWORD", "REDIS_PASSWORD")
_SPECIAL = (
    "p@ss",
    ":",
    "w/rd",
    "%#",
    "?",
    "$",
    " ",
    "é",
    '"',
    "'",
    "\\",
    "`",
    "$(id)",
    "${HOME}",
    "%41",
    ";&|<>",
    "\\n",
)


def nasty(name: str) -> str:
    """Return a hard password, another one for each name; it ends in a character that most parsers trip over."""
    return NEEDLE.join(("", *_SPECIAL, name, "\\" if len(name) % 2 else "'"))


def nasty_env_file() -> bytes:
    """Return a `.env` as a Windows editor leaves it: a byte-order mark, CRLF, every password a hard one."""
    example = (CHECKOUT / ".env.example").read_text(encoding="utf-8").splitlines()
    lines = (f"{line}{quoted(nasty(line[:-1]))}" if line.removesuffix("=") in KEYS else line for line in example)
    return ("\ufeff" + "".join(f"{line}\r\n" for line in lines)).encode()


def quoted(value: str) -> str:
    """Quote a value for `.env`."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
