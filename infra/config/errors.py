"""The errors a user of the stack can cause or meet.

    InfraError
    ├── ConfigError             a setting is missing, malformed or contradicts another
    ├── EnvironmentFault        the machine lacks something: engine, image, port, binary
    │   ├── EngineUnavailable       no container engine answers
    │   └── ImageUnavailable        neither local nor to be had
    └── StackError              the stack or its data is not what it should be
        ├── StartTimeout            not ready before the deadline
        └── ServiceFailed           a server ended, or refused for good
            └── CredentialsRefused      it knows another password, or not this role or database

Each message is one paragraph that says what, where and what next. The attributes say the same to programs, each where
it is known: none needs to be given, so that an error can be pickled. Neither holds a secret.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class InfraError(Exception):
    """Base of everything a user can act on."""


class ConfigError(InfraError):
    """A setting is missing, malformed or contradicts another.

    `setting` is its key; `file` and `line` are where it stands.
    """

    def __init__(
        self, message: str, *, setting: str | None = None, file: Path | None = None, line: int | None = None
    ) -> None:
        super().__init__(message)
        self.setting, self.file, self.line = setting, file, line


class EnvironmentFault(InfraError):
    """The machine lacks something the stack needs.

    `lacking` names the program, package or extension; `setting` is the key that asks for what cannot be had, as a port;
    `file` is what cannot be written.
    """

    def __init__(
        self, message: str, *, lacking: str | None = None, setting: str | None = None, file: Path | None = None
    ) -> None:
        super().__init__(message)
        self.lacking, self.setting, self.file = lacking, setting, file


class EngineUnavailable(EnvironmentFault):
    """No container engine answers at the endpoint in question.

    `absent` is true where there is nothing at the endpoint, so that another backend may serve instead; an engine
    that is there but may not be used, or does not answer, is not absent. `endpoint` is its URL.
    """

    def __init__(self, message: str, *, absent: bool = False, endpoint: str | None = None) -> None:
        super().__init__(message)
        self.absent, self.endpoint = absent, endpoint


class ImageUnavailable(EnvironmentFault):
    """An image is neither on this machine nor to be had; `reason` is the registry's or the engine's own."""

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


class StackError(InfraError):
    """The stack or its data is not what it should be.

    `service` is the server that it is about; `in_the_way` names the containers, volumes and networks that it cannot go
    on with; `file` is what cannot be read.
    """

    def __init__(
        self, message: str, *, service: str | None = None, in_the_way: tuple[str, ...] = (), file: Path | None = None
    ) -> None:
        super().__init__(message)
        self.service, self.in_the_way, self.file = service, in_the_way, file


class StartTimeout(StackError):
    """A service was not ready before the deadline."""


class ServiceFailed(StackError):
    """A server ended, or refused in a way that waiting does not heal."""


class CredentialsRefused(ServiceFailed):
    """A server that serves does not know this password, role or database."""


@contextmanager
def disk_explained() -> Iterator[None]:
    """Raise a file system that takes nothing more, being full or read-only, as an EnvironmentFault."""
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT, errno.EROFS}:
            raise
        where = f" {error.filename}" if error.filename else ""
        raise EnvironmentFault(
            f"What the stack needs cannot be written{where}: {error.strerror}. Make room there (`invoke doctor` says "
            "how much there is), then run the command again.",
            file=Path(error.filename) if error.filename else None,
        ) from None


def ended(server: str, service: str, code: int) -> ServiceFailed:
    """Return the error of a server that ended while it was started; its own last lines stand in the notes."""
    own_settings = (
        "what ALTER SYSTEM has set is in its data, in postgresql.auto.conf; " if service == "postgres" else ""
    )
    return ServiceFailed(
        f"{server} ended with exit code {code}. Correct what its last lines above name, then run `invoke up` again; "
        f"{own_settings}or give its data up alone with `invoke down --volumes --service {service}`.",
        service=service,
    )
