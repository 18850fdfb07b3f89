"""Users, synced from an identity provider."""

from schema import Base, IdentityUser, TenantMixin


class User(IdentityUser, TenantMixin, Base):
    """One person in one tenant; somebody in two tenants has two rows."""

    __tablename__ = "users"
