"""Plan features: what a tenant may use, and how much of it."""

from sqlalchemy import BigInteger, false
from sqlalchemy.orm import Mapped, mapped_column

from schema.base import Base
from schema.tenancy import TenantMixin


class TenantFeature(TenantMixin, Base):
    """One feature of one tenant's plan; `limit` is None where nothing is counted."""

    __tablename__ = "tenant_features"

    feature: Mapped[str] = mapped_column(primary_key=True)
    enabled: Mapped[bool] = mapped_column(server_default=false())
    limit: Mapped[int | None] = mapped_column(BigInteger)
