"""The tenant context: who a transaction belongs to, as the program says it."""

import asyncio
import os
import re
import threading
from contextvars import ContextVar
from enum import Enum
from typing import Final
from uuid import UUID

from schema.errors import ContextFault, TenantContextError

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class NoTenant(Enum):
    """Stands in a tenant's place where a transaction is said to have none."""

    NO_TENANT = ""


def tenant_id(tenant: object) -> UUID:
    """Read a tenant's id.

    Raises:
        TenantContextError: it is missing or not a uuid.
    """
    if isinstance(tenant, UUID):
        return tenant
    if isinstance(tenant, str) and tenant:
        try:
            return UUID(tenant)
        except ValueError:
            raise TenantContextError(
                f"{tenant!r} is not a tenant: its id is a uuid. Pass tenants.tenant_id.",
                fault=ContextFault.NOT_A_TENANT,
                wanted=str(tenant),
            ) from None
    raise TenantContextError(
        "No tenant was given. Pass tenants.tenant_id; nothing runs without one.", fault=ContextFault.NO_TENANT
    )


def user_id(user: object) -> str | None:
    """Read a user's id, which is any text, or a uuid; None where no user is given.

    Raises:
        TenantContextError: it is empty, or no text that PostgreSQL can hold.
    """
    if user is None or isinstance(user, UUID):
        return None if user is None else str(user)
    if isinstance(user, str) and user and "\0" not in user and not _SURROGATE.search(user):
        return user
    raise TenantContextError(
        f"{user!r} is not a user: an id is text that is not empty, without NUL and lone surrogates, or a uuid. Pass "
        "what your policies compare with app.user_id as a str, or leave user out; then they see none.",
        fault=ContextFault.NOT_A_USER,
    )


class TenantBlock:
    """A block of a tenant: within it, the same thread or task enters none of another tenant.

    A process, thread or task that is started inside the block is on its own, whatever context it copies: what it serves
    is said where it enters its own block.

    Raises:
        TenantContextError: (when entered) a block of another tenant is open here.
    """

    __slots__ = ("flow", "open", "outer", "tenant")

    def __init__(self, tenant: UUID) -> None:
        self.tenant = tenant
        self.open = False

    def __enter__(self) -> None:
        self.outer = _innermost.get()
        self.flow = _flow()
        if self.outer is not None and self.outer.refuses(self):
            raise TenantContextError(
                f"Tenant {self.tenant} was asked for inside a block of tenant {self.outer.tenant}. End that block "
                "first: what is read in one tenant's block must not be written in another's.",
                fault=ContextFault.OTHER_TENANT,
                wanted=str(self.tenant),
                serves=str(self.outer.tenant),
            )
        self.open = True
        _innermost.set(self)

    def refuses(self, inner: "TenantBlock") -> bool:
        """Return whether a block may not be entered inside this one."""
        return self.open and self.flow == inner.flow and self.tenant != inner.tenant

    def __exit__(self, *_: object) -> None:
        self.open = False
        # A web framework may end a block in another context than it was begun in; there is nothing to set back there.
        if _innermost.get() is self:
            _innermost.set(self.outer)


_innermost: ContextVar[TenantBlock | None] = ContextVar("groundwork_tenant_block", default=None)


def _flow() -> tuple[int, int, int]:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return os.getpid(), threading.get_ident(), id(task)
