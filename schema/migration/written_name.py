"""The name that migrations are written for: they are literal, so those of another name make what no model declares."""

import re
from pathlib import Path

from infra.config.errors import ConfigError
from infra.config.ground import TABLE
from infra.config.settings import database_name
from schema.migration.apply.fingerprint import migration_folders

_TENANT_FUNCTION = re.compile(r"CREATE OR REPLACE FUNCTION (\w+)\.tenant_id\(\)")


def require_written_name(checkout: Path) -> None:
    """Refuse a name in pyproject.toml that the migrations were not written for.

    Raises:
        ConfigError: names the migration, the name that it has, and what to write.
    """
    for folder in migration_folders(checkout):
        for file in sorted(folder.rglob("*.py")):
            for written in _TENANT_FUNCTION.findall(file.read_text(encoding="utf-8", errors="replace")):
                if written != database_name():
                    raise ConfigError(
                        f"{checkout / 'pyproject.toml'} calls the database, its roles and its schema of functions "
                        f"{database_name()!r}, and {file.relative_to(checkout)} makes them for {written!r}. Nothing "
                        f'was changed. Write `name = "{written}"` below [tool.groundwork] again: the name is chosen by '
                        "`invoke init` before the first migration, and stays.",
                        setting=f"{TABLE}.name",
                        file=checkout / "pyproject.toml",
                    )
