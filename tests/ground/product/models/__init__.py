"""The product's models. Every module of this folder is imported, so that a model is declared by writing it here."""

from importlib import import_module
from pathlib import Path

from schema.tenancy.base import Base

__all__ = ["metadata"]

_here = Path(__file__).parent
# The root comes first: a class that inherits from a tenant's model asks for the table of its foreign keys at once.
for _file in sorted(_here.rglob("*.py"), key=lambda file: (file != _here / "tenants.py", file)):
    _parts = _file.relative_to(_here).with_suffix("").parts
    import_module(".".join((__name__, *(part for part in _parts if part != "__init__"))))

metadata = Base.metadata
