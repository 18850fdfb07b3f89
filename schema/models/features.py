"""Plan features: what a tenant may use, and how much of it."""

from schema import Base, PlanFeature, TenantMixin


class TenantFeature(PlanFeature, TenantMixin, Base):
    """One feature of one tenant's plan."""

    __tablename__ = "tenant_features"
