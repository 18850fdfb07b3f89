"""Which handlers may be given a session that ends when they return."""

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from io import IOBase
from typing import Any


def refuse_unless_plain(handler: Callable[..., Any]) -> None:
    """Refuse a handler whose work is done after it has returned.

    Raises:
        TypeError: it is a coroutine function, a generator or an asynchronous generator.
    """
    for test, kind in _KINDS.items():
        if any(test(function) for function in _functions(handler)):
            raise TypeError(f"{_name(handler)} is {kind}, whose work would begin after its session has ended. {_NEXT}")


def refuse_unless_coroutine(handler: Callable[..., Any]) -> None:
    """Refuse a handler that gives nothing to await.

    Raises:
        TypeError: it is a plain function, a generator or an asynchronous generator.
    """
    functions = [*_functions(handler), inspect.unwrap(handler)]
    if any(map(inspect.iscoroutinefunction, functions)):
        return
    if not any(map(inspect.isroutine, functions)):
        return  # an object: what it returns will show
    raise TypeError(
        f"{_name(handler)} is no coroutine function, so it cannot await what its session answers. Write it with async "
        "def, and without yield; a plain function is for the in_tenant_session of schema.client."
    )


def refuse_later_work(handler: Callable[..., Any], result: object) -> None:
    """Refuse a result that does its work when it is awaited or iterated over, after its session has ended.

    Raises:
        TypeError: it is such a result.
    """
    later = inspect.isawaitable(result) or isinstance(result, Iterator | AsyncIterator)
    if not later or isinstance(result, IOBase):
        return
    if inspect.iscoroutine(result) or inspect.isgenerator(result):
        result.close()  # a coroutine that is never awaited warns
    raise TypeError(
        f"{_name(handler)} returned a {type(result).__name__}, whose work would begin after its session has ended; "
        f"what it wrote is rolled back. {_NEXT}"
    )


_NEXT = (
    "Return what is read, such as a list; for async def use the in_tenant_session of schema.client.aio, and for a "
    "stream open tenant_session inside the generator."
)

_KINDS = {
    inspect.iscoroutinefunction: "a coroutine function",
    inspect.isasyncgenfunction: "an asynchronous generator",
    inspect.isgeneratorfunction: "a generator",
}


def _functions(handler: Callable[..., Any]) -> list[Any]:
    """Return what a call runs: the function below partials, or the __call__ of an object."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    return [handler, type(handler).__call__]


def _name(handler: Callable[..., Any]) -> str:
    while isinstance(handler, functools.partial):
        handler = handler.func
    return str(getattr(handler, "__qualname__", type(handler).__qualname__))
