"""Every model in one place: importing this module declares the whole schema."""

from schema.base import Base
from schema.features import TenantFeature
from schema.tenants import Tenant, TenantDirectory
from schema.users import User

__all__ = ["Tenant", "TenantDirectory", "TenantFeature", "User", "metadata"]

metadata = Base.metadata
