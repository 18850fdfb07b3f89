"""What makes a table a tenant's: the mixin, keys, policies, the functions that they call, and the tenant context."""

from typing import TYPE_CHECKING

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Give what was imported from here before, until the next version (PEP 562)."""
        import warnings

        import schema

        if name not in schema.__all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        warnings.warn(f"import {name} from schema; this name is removed in the next version", DeprecationWarning, 2)
        return getattr(schema, name)
