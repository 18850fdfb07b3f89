"""Steps that an interrupt must not cut in two."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor


def run_uninterrupted(step: Callable[[], None]) -> None:
    """Run a step to its end, also when the user interrupts meanwhile; the interrupt takes effect after it.

    A signal reaches the main thread alone (Python manual, signal: Signals and threads), so the step runs in another,
    which is waited for in any case. So what a step has made and how to take it back are never separated.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(step).result()
