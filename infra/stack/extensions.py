"""Whether the server that is to be started has the extensions that the product declares."""

from infra.backends.protocol import Backend
from infra.config.errors import EnvironmentFault
from infra.config.settings import BackendChoice
from infra.config.versions import OFFERS
from infra.declaration.spec import StackSpec


def missing_extensions(backend: Backend, spec: StackSpec) -> tuple[str, ...]:
    """Return the declared extensions that a backend's PostgreSQL lacks; none where it cannot be looked into yet."""
    if not spec.extensions or (present := backend.extensions(spec)) is None:
        return ()
    return tuple(name for name in spec.extensions if name not in present)


def refuse_missing_extensions(backend: Backend, spec: StackSpec) -> None:
    """Return where the backend's PostgreSQL has the declared extensions.

    Raises:
        EnvironmentFault: it lacks one; names it, and where it is to be had.
    """
    missing = missing_extensions(backend, spec)
    if not missing:
        return
    embedded = backend.choice is BackendChoice.EMBEDDED
    server = f"The embedded PostgreSQL {spec.postgres.version}" if embedded else f"PostgreSQL in {spec.postgres.image}"
    elsewhere = [f"PostgreSQL {o.server} in {o.place}" for o in OFFERS if set(missing) <= {*o.extensions.split(", ")}]
    raise EnvironmentFault(
        f"{server} has no extension {', '.join(missing)}, which pyproject.toml declares. Nothing was started or "
        "changed. "
        + (f"It is in {' and in '.join(elsewhere)}. " if elsewhere else "")
        + "Name an image that has it with POSTGRES_IMAGE, or take it off [tool.groundwork] extensions.",
        lacking=", ".join(missing),
    )
