import asyncio
from contextvars import copy_context
from threading import Thread
from uuid import UUID

import pytest

from schema.errors import TenantContextError
from schema.tenancy.context import TenantBlock

ONE, OTHER = UUID(int=1), UUID(int=2)


def test_a_block_may_end_in_another_context() -> None:
    """A web framework may enter and leave in two threads, each with a copy of the context; neither is left marked."""
    block = TenantBlock(ONE)
    for step in (block.__enter__, lambda: block.__exit__(None, None, None)):
        thread = Thread(target=copy_context().run, args=(step,))
        thread.start()
        thread.join()
    with TenantBlock(OTHER):
        pass


def test_a_refused_block_leaves_the_outer_one() -> None:
    """After the refusal the outer block is still that which counts, and after its end nothing is."""
    with TenantBlock(ONE):
        for _ in range(2):
            with pytest.raises(TenantContextError), TenantBlock(OTHER):
                pass
        with TenantBlock(ONE), TenantBlock(ONE), pytest.raises(TenantContextError), TenantBlock(OTHER):
            pass
    with TenantBlock(OTHER):
        pass


def test_blocks_may_end_in_any_order() -> None:
    """Blocks of one tenant that overlap leave nothing behind."""
    first, second = TenantBlock(ONE), TenantBlock(ONE)
    first.__enter__()
    second.__enter__()
    first.__exit__()
    second.__exit__()
    with TenantBlock(OTHER):
        pass


def test_a_task_outlives_its_creators_block() -> None:
    """A task is on its own while the block that started it is open, and after it."""

    async def serve(tenant: UUID) -> None:
        with TenantBlock(tenant):
            await asyncio.sleep(0)

    async def main() -> None:
        with TenantBlock(ONE):
            task = asyncio.create_task(serve(OTHER))
            await serve(ONE)
        await task
        await serve(OTHER)

    asyncio.run(main())
