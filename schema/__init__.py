"""The data model and its client: models, roles, engine, sessions, migrations. Knows neither Docker nor Redis.

The names that a model needs are imported from here; the application's are in `schema.client`. None is loaded before it
is asked for: every command imports this package, and few need SQLAlchemy.
"""

from typing import TYPE_CHECKING

from infra.config.moved import find_moved
from schema.lazy import lazy

__all__ = [
    "Base",
    "IdentityUser",
    "PlanFeature",
    "TenantKeys",
    "TenantMixin",
    "TenantRoot",
    "declare_function",
    "grants",
    "new_id",
    "restrictive_policy",
    "tenant_foreign_key",
    "tenant_index",
    "tenant_unique",
    "trigger",
    "unique_across_tenants",
]

if TYPE_CHECKING:
    from schema.tenancy.base import Base
    from schema.tenancy.functions import declare_function, new_id
    from schema.tenancy.keys import tenant_foreign_key, tenant_index, tenant_unique, unique_across_tenants
    from schema.tenancy.mixin import TenantMixin
    from schema.tenancy.policies import grants, restrictive_policy, trigger
    from schema.tenancy.roots import IdentityUser, PlanFeature, TenantKeys, TenantRoot
else:
    __getattr__ = lazy(
        __name__,
        {
            "tenancy.base": ["Base"],
            "tenancy.functions": ["declare_function", "new_id"],
            "tenancy.keys": ["tenant_foreign_key", "tenant_index", "tenant_unique", "unique_across_tenants"],
            "tenancy.mixin": ["TenantMixin"],
            "tenancy.policies": ["grants", "restrictive_policy", "trigger"],
            "tenancy.roots": ["IdentityUser", "PlanFeature", "TenantKeys", "TenantRoot"],
        },
    )

find_moved()
