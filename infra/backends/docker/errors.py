"""Turn what the engine answers into an error that says what, where and what next."""

from collections.abc import Iterator
from contextlib import contextmanager

from infra.backends.protocol import Operation
from infra.config.errors import EnvironmentFault

_PORT_WORDS = ("port is already allocated", "address already in use", "ports are not available")


@contextmanager
def explained(operation: Operation) -> Iterator[None]:
    """Raise what the engine refuses while `operation` is carried out as an EnvironmentFault."""
    from docker.errors import APIError
    from requests.exceptions import RequestException

    try:
        yield
    except APIError as error:
        reason = " ".join(str(error.explanation or error).split())
        if any(words in reason for words in _PORT_WORDS):
            raise EnvironmentFault(
                f"The port of {operation.title} was taken by another program meanwhile: {reason}. Stop that program, "
                "or set POSTGRES_PORT or REDIS_PORT to `auto` or a free port."
            ) from None
        raise EnvironmentFault(
            f"The engine refused to {operation.verb} {operation.title}: {reason}. Mend that and run the command again."
        ) from None
    except RequestException as error:
        raise EnvironmentFault(
            f"The engine went away while asked to {operation.verb} {operation.title} ({type(error).__name__}). See "
            "that it runs and run the command again."
        ) from None
