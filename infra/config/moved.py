"""Modules by the names that they had before, so that a product's code and its applied migrations go on working.

A module is looked for here last of all, so that no import is slower for it. What migrations import is given without a
word: a file that was applied stays as it is. Everything else warns of its new name, and is gone with the next version.
"""

import sys
import warnings
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType

_BY_MIGRATIONS = {
    "schema.concurrently": ["schema.migration.helpers.indexes"],
    "schema.data_migration": ["schema.migration.helpers.tenants"],
    "schema.sql_type": ["schema.migration.helpers.sql_type"],
}
# The name to import from now, and the modules in which what was there is.
FORMER = {
    "infra.errors": ("infra.config.errors", ["infra.config.errors"]),
    "infra.secret": ("infra.config.secret", ["infra.config.secret"]),
    "infra.urls": ("infra.config.urls", ["infra.config.urls"]),
    "schema.context": ("schema.tenancy.context", ["schema.tenancy.context"]),
    "schema.features": ("schema.models.features", ["schema.models.features"]),
    "schema.tenants": ("schema.models.tenants", ["schema.models.tenants"]),
    "schema.users": ("schema.models.users", ["schema.models.users"]),
    "infra.endpoints": ("infra.config.endpoints", ["infra.config.endpoints"]),
    "infra.settings": ("infra.config.settings", ["infra.config.settings"]),
    "schema.aio": ("schema.client.aio", ["schema.client.aio"]),
    "schema.aio.engine": ("schema.client.aio", ["schema.client.aio.engine"]),
    "schema.aio.lifecycle": ("schema.client.aio", ["schema.client.aio.tenants"]),
    "schema.aio.session": ("schema.client.aio", ["schema.client.aio.session"]),
    "schema.base": ("schema", ["schema.tenancy.base"]),
    "schema.engine": ("schema.client", ["schema.client.engine", "schema.migration.engine"]),
    "schema.functions": ("schema", ["schema.tenancy.functions"]),
    "schema.lifecycle": ("schema.client or schema.admin.tenants", ["schema.admin.tenants", "schema.client.tenants"]),
    "schema.orm": ("schema.client", ["schema.client.orm"]),
    "schema.rls": ("schema", ["schema.migration.diff.rls"]),
    "schema.rls.policy": ("schema", ["schema.tenancy.policies"]),
    "schema.session": ("schema.client", ["schema.client.session"]),
}


class Moved:
    """Finds a module by its former name and loads what is in its place (Python's reference, 5.3: import hooks)."""

    @staticmethod
    def find_spec(name: str, *_: object) -> ModuleSpec | None:
        """Return how a module is loaded that has moved; None of any other."""
        if name in FORMER:
            warnings.warn(_message(name, FORMER[name][0]), DeprecationWarning, 2)
        return ModuleSpec(name, Moved, is_package=True) if name in {*FORMER, *_BY_MIGRATIONS} else None  # type: ignore[arg-type]  # a loader is whatever has these two methods

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:
        """Leave the making of the module to Python."""

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Put what is in a module's place there, or give the module its public names."""
        name = module.__name__
        found = [import_module(place) for place in _BY_MIGRATIONS.get(name) or FORMER[name][1]]
        if len(found) == 1 and not hasattr(found[0], "__path__"):
            sys.modules[name] = found[0]  # the very module, so that what patches one patches both
            return
        # A package's modules would be found by its path, and loaded a second time.
        for each in found:
            public = getattr(each, "__all__", None) or [name for name in vars(each) if not name.startswith("_")]
            vars(module).update({name: getattr(each, name) for name in public})


def _message(name: str, there: str) -> str:
    return f"{name} has moved: import from {there}. The former name is removed in the next version."


def find_moved() -> None:
    """Have Python find modules by their former names as well."""
    if Moved not in sys.meta_path:
        sys.meta_path.append(Moved)
