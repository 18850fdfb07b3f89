"""Tenants: the root that every other tenant table references, and the directory that finds them."""

from schema import Base, TenantKeys, TenantMixin, TenantRoot


class Tenant(TenantRoot, TenantMixin, Base):
    """One customer organisation."""

    __tablename__ = "tenants"


class TenantDirectory(TenantKeys, Base):
    """By what a request finds its tenant before there is any context."""

    __tablename__ = "tenant_directory"
