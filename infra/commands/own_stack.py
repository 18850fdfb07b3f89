"""The stack of this checkout, and what prepares its database."""

from typing import TYPE_CHECKING

from infra.config.identity import Project
from infra.config.settings import CHECKOUT, Settings

if TYPE_CHECKING:
    from infra.config.urls import DatabaseUrl
    from infra.stack.readiness import Preparation


def project() -> Project:
    """Return the project that this checkout belongs to.

    Raises:
        ConfigError: the checkout's record cannot be read.
    """
    from infra.config.identity import project_at

    return project_at(CHECKOUT)


def preparation() -> "Preparation":
    """Return what makes roles, database, extensions and rights between a server's answer and the proof that it serves.

    Raises:
        ConfigError: the extensions in pyproject.toml cannot be read.
    """
    from infra.config.extensions import declared_extensions
    from infra.stack.readiness import Preparation
    from schema.admin.role_state import ROLE_STATE

    def prepare(admin: "DatabaseUrl", settings: Settings) -> None:
        from schema.admin import roles
        from schema.migration.written_name import require_written_name

        require_written_name(CHECKOUT)
        roles.ensure(admin, settings, extensions)

    extensions = declared_extensions()
    code = (CHECKOUT / "schema" / "admin", CHECKOUT / "schema" / "client" / "connection.py")
    return Preparation(prepare, code, ROLE_STATE, extensions)
