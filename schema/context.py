"""The tenant context: who a transaction belongs to, as the program says it."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from typing import Final
from uuid import UUID

from schema.errors import TenantContextError

OPTION: Final = "tenant"
"""The execution option of engines and connections that names the tenant of every transaction that begins there."""


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
            raise TenantContextError(f"{tenant!r} is not a tenant: its id is a uuid. Pass tenants.tenant_id.") from None
    raise TenantContextError("No tenant was given. Pass tenants.tenant_id; nothing runs without one.")


@dataclass(slots=True)
class _Block:
    tenant: UUID
    flow: tuple[int, int]
    outer: "_Block | None"
    open: bool = True


_innermost: ContextVar[_Block | None] = ContextVar("groundwork_tenant_block", default=None)


@contextmanager
def tenant_block(tenant: UUID) -> Iterator[None]:
    """Hold a block of `tenant` open; within it, the same thread or task opens none of another tenant.

    A thread or task that is started inside the block is on its own, whatever context it copies: what it serves is
    said where it opens its own block.

    Raises:
        TenantContextError: a block of another tenant is open here.
    """
    outer = _innermost.get()
    flow = _flow()
    if outer is not None and outer.open and outer.flow == flow and outer.tenant != tenant:
        raise TenantContextError(
            f"Tenant {tenant} was asked for inside a block of tenant {outer.tenant}. End that block first: what is "
            "read in one tenant's block must not be written in another's."
        )
    block = _Block(tenant, flow, outer)
    _innermost.set(block)
    try:
        yield
    finally:
        block.open = False
        # A web framework may end a block in another context than it was begun in; there is nothing to set back there.
        if _innermost.get() is block:
            _innermost.set(outer)


def _flow() -> tuple[int, int]:
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return threading.get_ident(), id(task)
