"""Models that nobody imports: without this they would look like tables that are no longer declared."""

import ast
import sys
from pathlib import Path

from schema.errors import MigrationError

_BASES = {"Base", "TenantMixin"}


def refuse_unimported(folder: Path, package: str) -> None:
    """Refuse to go on while a module of the package defines a model and was not imported by its `models`.

    Raises:
        MigrationError: names the module and the line to write.
    """
    for path in sorted(folder.rglob("*.py")):
        module = ".".join((package, *path.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__")
        if module not in sys.modules and (model := _model(path)) is not None:
            raise MigrationError(
                f"{folder.name}/{path.relative_to(folder)} defines the model {model}, and {folder.name}/models.py does "
                "not import it, so its table would not be made or even be dropped. "
                f"Add `from {module} import {model}` there. Nothing was written."
            )


def _model(path: Path) -> str | None:
    """Return the first class of a file that is a table: it has a name for one and a base of the product's."""
    source = path.read_text(encoding="utf-8")
    if "__tablename__" not in source:
        return None
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and _BASES & {ast.unparse(base).rpartition(".")[2] for base in node.bases}:
            named = (target for one in node.body if isinstance(one, ast.Assign) for target in one.targets)
            if any(isinstance(target, ast.Name) and target.id == "__tablename__" for target in named):
                return node.name
    return None
