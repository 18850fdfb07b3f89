"""Every setting, typed; the sole reader of `.env` and the environment.

The environment wins over `.env`, and `.env` over the default. The names that migrations and rights are written against
(roles, database, schema) are no settings: they are read from pyproject.toml, which is committed beside the migrations.
Imports the standard library and the `.env` parser only, so that anyone may import it. Plain dataclasses, because a
validation library would cost every command more start-up time than all of the reading.
"""

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from datetime import timedelta
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any, Self, TypeVar

from infra.config.errors import ConfigError
from infra.config.files import draft_for
from infra.config.secret import Secret
from infra.config.secret_file import Found, file_key, find_secret
from infra.config.urls import DatabaseUrl
from infra.config.versions import POSTGRES_VERSIONS, RedisVersion

MAINTENANCE_DATABASE = "postgres"
CHECKOUT = Path(__file__).resolve().parents[2]


def database_name() -> str:
    """Return the name of the product's database, which is also that of its schema of functions.

    It is read where it is first asked for: few commands need it, and reading it costs milliseconds.

    Raises:
        ConfigError: pyproject.toml cannot be read, or has another name than can be used.
    """
    from infra.config.ground import ground

    return ground().name


def function_schema() -> str:
    """Return the name of the schema that holds the product's functions and what Alembic and the ledger record.

    Raises:
        ConfigError: as `database_name`.
    """
    return database_name()


class Role(Enum):
    """The login roles of the product; their rights are ensured in `schema.admin.roles`.

    As text a role is the name that the server knows it by, such as app_owner.
    """

    OWNER = "owner"
    USER = "user"
    MAINTENANCE = "maintenance"

    def __str__(self) -> str:
        return f"{database_name()}_{self.value}"


def logins(role: Role) -> tuple[str, str]:
    """Return the two logins of a role: its own, and the alternate with which it takes turns (`invoke rotate`)."""
    return str(role), f"{role}_b"


class AppEnv(StrEnum):
    """Where this process runs."""

    DEVELOPMENT = "development"
    TEST = "test"
    PRODUCTION = "production"


class BackendChoice(StrEnum):
    """What the stack runs on; `auto` decides at the first `up`."""

    AUTO = "auto"
    DOCKER = "docker"
    EMBEDDED = "embedded"


class SslMode(StrEnum):
    """libpq's sslmode (PostgreSQL manual, 34.19.3), from weakest to strongest."""

    DISABLE = "disable"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"


T = TypeVar("T")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")  # of standard logging, which few commands import


def _choice(kind: type[StrEnum]) -> Callable[[str], StrEnum]:
    def parse(text: str) -> StrEnum:
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f"it is one of {', '.join(kind)}") from None

    return parse


class _Flag(StrEnum):
    TRUE = "true"
    FALSE = "false"


def _flag(text: str) -> bool:
    return _choice(_Flag)(text) is _Flag.TRUE


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise ValueError(f"it is a whole number from {low} to {high}")
        return int(text)

    return parse


def _postgres_version(text: str) -> int:
    if text not in map(str, POSTGRES_VERSIONS):
        raise ValueError(f"it is one of {', '.join(map(str, POSTGRES_VERSIONS))}")
    return int(text)


def _redis_version(text: str) -> RedisVersion:
    try:
        return RedisVersion(text)
    except ValueError:
        raise ValueError(f"it is empty or one of {', '.join(each.value for each in RedisVersion if each)}") from None


def port_number(text: str) -> int | None:
    """Read a port; None for `auto`.

    Raises:
        ValueError: it is neither.
    """
    return _unless("auto", _integer(1, 65_535))(text)


def _seconds(text: str) -> timedelta:
    return timedelta(seconds=_integer(1, 86_400)(text))


def _name(text: str) -> str:
    # initdb refuses quotes, $ and a backslash in the superuser's name, and no image or level has any of them.
    if not text or not text.isprintable() or any(c in " \"'$\\" for c in text):
        raise ValueError("it is a name without spaces, quotes, $ and backslashes")
    return text


def _level(text: str) -> str:
    if text.upper() not in _LEVELS:
        raise ValueError(f"it is one of {', '.join(_LEVELS)}")
    return text.upper()


def _password(text: str) -> Secret:
    # libpq, the servers' own files and the environment all end a value at a NUL or a line end.
    if any(c in text for c in "\0\r\n"):
        raise ValueError("it holds a line end or a NUL")
    return Secret(text)


def _unless(text_for_none: str, parse: Callable[[str], T]) -> Callable[[str], T | None]:
    return lambda text: None if text == text_for_none else parse(text)


def _setting(parse: Callable[[str], Any], default: str, *, secret: bool = False, generated: bool = False) -> Any:
    """Declare a setting: how its text is read, and the text that stands when nobody set it."""
    return field(metadata={"parse": parse, "default": default, "secret": secret, "generated": generated})


def _generated_password() -> Any:
    return _setting(_password, "", secret=True, generated=True)


def _url_with_password() -> Any:
    return _setting(_unless("", DatabaseUrl.parse), "", secret=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a checkout or a process is told. A setting's key is its name in capitals; `.env.example` explains each.

    A secret may be in a file of its own, which the key with _FILE at its end names.
    """

    app_env: AppEnv = _setting(_choice(AppEnv), "development")
    log_level: str = _setting(_level, "INFO")

    stack_backend: BackendChoice = _setting(_choice(BackendChoice), "auto")
    stack_start_timeout: timedelta = _setting(_seconds, "60")
    stack_pull_timeout: timedelta = _setting(_seconds, "300")

    postgres_version: int = _setting(_postgres_version, "16")
    postgres_image: str | None = _setting(_unless("", _name), "")
    postgres_port: int | None = _setting(port_number, "auto")
    postgres_user: str = _setting(_name, "postgres")
    postgres_password: Secret = _generated_password()
    app_owner_password: Secret = _generated_password()
    app_user_password: Secret = _generated_password()
    app_maintenance_password: Secret = _generated_password()
    app_owner_alternate: bool = _setting(_flag, "false")
    app_user_alternate: bool = _setting(_flag, "false")
    app_maintenance_alternate: bool = _setting(_flag, "false")

    redis_version: RedisVersion = _setting(_redis_version, "")
    redis_image: str | None = _setting(_unless("", _name), "")
    redis_port: int | None = _setting(port_number, "auto")
    redis_password: Secret = _generated_password()

    database_url: DatabaseUrl | None = _url_with_password()
    database_owner_url: DatabaseUrl | None = _url_with_password()
    database_maintenance_url: DatabaseUrl | None = _url_with_password()
    database_admin_url: DatabaseUrl | None = _url_with_password()
    database_pool_budget: int = _setting(_integer(1, 10_000), "100")
    database_processes: int = _setting(_integer(1, 10_000), "10")
    database_connect_timeout: timedelta = _setting(_seconds, "5")
    database_connect_deadline: timedelta = _setting(_seconds, "30")
    database_statement_timeout: timedelta = _setting(_seconds, "30")
    database_sslmode: SslMode | None = _setting(_unless("", _choice(SslMode)), "")
    database_echo: bool = _setting(_flag, "false")

    def role_password(self, role: Role) -> Secret:
        """Return the password the local stack gives `role`."""
        return {
            Role.OWNER: self.app_owner_password,
            Role.USER: self.app_user_password,
            Role.MAINTENANCE: self.app_maintenance_password,
        }[role]

    def has_alternate_login(self, role: Role) -> bool:
        """Return whether the password that the local stack gives `role` is that of its alternate login."""
        return {
            Role.OWNER: self.app_owner_alternate,
            Role.USER: self.app_user_alternate,
            Role.MAINTENANCE: self.app_maintenance_alternate,
        }[role]

    def role_login(self, role: Role) -> str:
        """Return the login with which the local stack serves `role`."""
        return logins(role)[self.has_alternate_login(role)]

    def role_url(self, role: Role) -> DatabaseUrl | None:
        """Return the URL set for `role`, None where the local stack's own is meant."""
        return {
            Role.OWNER: self.database_owner_url,
            Role.USER: self.database_url,
            Role.MAINTENANCE: self.database_maintenance_url,
        }[role]

    @classmethod
    def load(cls, env_file: Path = CHECKOUT / ".env", environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings from the environment over `env_file` over the defaults.

        Raises:
            ConfigError: a line of the file, a value or the file of a secret is malformed, or a secret is given twice;
                names file, line and key, never the value.
        """
        environ = os.environ if environ is None else environ
        sources = (
            {key: Found(text) for key, text in environ.items()},
            {key: Found(text, env_file, line) for key, (line, text) in read_env_file(env_file).items()},
        )
        values = {}
        for setting in fields(cls):
            found = next(filter(None, (_find(setting, source) for source in sources)), None)
            parse, default = setting.metadata["parse"], setting.metadata["default"]
            values[setting.name] = parse(default) if found is None else _parse(setting, found)
        return cls(**values)


def key_of(setting: "Field[Any]") -> str:
    """Return the key of a `Settings` field in `.env` and the environment."""
    return setting.name.upper()


def setting_keys() -> tuple[str, ...]:
    """Return every key that is read from `.env` and the environment."""
    secret = (file_key(key_of(setting)) for setting in fields(Settings) if setting.metadata["secret"])
    return (*map(key_of, fields(Settings)), *secret)


def _find(setting: "Field[Any]", source: Mapping[str, Found]) -> Found | None:
    key = key_of(setting)
    return find_secret(key, source) if setting.metadata["secret"] else source.get(key)


def _encodable(text: str) -> str:
    """Return text unless it holds what Python makes of bytes of the environment that are not UTF-8."""
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        raise ValueError("it is not UTF-8")
    return text


def _parse(setting: "Field[Any]", found: Found) -> Any:
    try:
        return setting.metadata["parse"](_encodable(found.text))
    except ValueError as error:
        raise ConfigError(
            f"{key_of(setting)} {found.where} cannot be used: {error}. Correct it and run the command again.",
            setting=key_of(setting),
            file=found.file,
            line=found.line,
        ) from None


def read_env_file(path: Path) -> dict[str, tuple[int, str]]:
    """Read `KEY=value` lines strictly: each key with its line number and its text, nothing interpolated.

    A missing file is an empty one. Quotes, comments, `export`, CRLF and a byte-order mark are read as python-dotenv
    reads them; what it would skip with a warning is an error here.

    Raises:
        ConfigError: the file or a line cannot be read; names file and line, never a value.
    """
    from dotenv.parser import parse_stream

    try:
        with path.open(encoding="utf-8-sig") as stream:
            bindings = list(parse_stream(stream))
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is not UTF-8 (byte {error.start}). Save it as UTF-8 and run the command again.", file=path
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}. It is a text file of KEY=value lines.", file=path
        ) from None
    values: dict[str, tuple[int, str]] = {}
    for binding in bindings:
        if binding.key is None and not binding.error:
            continue  # a comment or an empty line
        lead = binding.original.string[: len(binding.original.string) - len(binding.original.string.lstrip())]
        line = binding.original.line + lead.count("\n")
        if binding.error or binding.key is None or binding.value is None:
            raise ConfigError(
                f"{path}:{line} is not a KEY=value line (a quote left open, or no '='?). "
                "Correct the line and run the command again.",
                file=path,
                line=line,
            )
        values[binding.key] = (line, binding.value)
    return values


def write_env_file(directory: Path) -> bool:
    """Write `.env` (0600) from `.env.example` with generated passwords; return False where there is one already.

    Complete or not at all: the file appears under its name only when it is whole, and never replaces another.
    """
    target = directory / ".env"
    if os.path.lexists(target):
        return False
    generated = {key_of(setting) for setting in fields(Settings) if setting.metadata["generated"]}
    lines = []
    for line in (directory / ".env.example").read_text(encoding="utf-8").splitlines():
        key = line.removesuffix("=")
        lines.append(f"{line}{secrets.token_urlsafe(24)}" if key in generated and line.endswith("=") else line)
    try:
        # Its passwords are in data that survives a power cut.
        with draft_for(target, mode=0o600, replace=False, durable=True) as draft:
            draft.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except FileExistsError:
        return False
    except OSError as error:
        raise ConfigError(
            f"{target} cannot be written: {error.strerror}. Make {directory} writable, or write the file by hand "
            "from .env.example.",
            file=target,
        ) from None
    return True
