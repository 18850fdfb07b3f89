"""Children of the test's own process: forked, asked for an answer, and gone."""

import os
import pickle
from collections.abc import Callable
from typing import Any


def in_child(work: Callable[[], Any], seconds: int = 10) -> Any:
    """Return what `work` returns in a forked child, or the exception that it raises there; it is ended after a time."""
    readable, writable = os.pipe()
    child = os.fork()
    if not child:
        _answer(writable, work, seconds)
    os.close(writable)
    with os.fdopen(readable, "rb") as answers:
        answer = answers.read()
    _, status = os.waitpid(child, 0)
    assert status == 0, f"the child ended with status {status}"
    return pickle.loads(answer)  # noqa: S301 - the child is ours


def _answer(writable: int, work: Callable[[], Any], seconds: int) -> None:
    """Do the work as a child, and end without anything of the parent's being run."""
    import signal

    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)  # a child that waits for a lock for ever fails its test
    try:
        try:
            answer = work()
        except Exception as error:
            answer = (type(error).__name__, str(error))
        with os.fdopen(writable, "wb") as answers:
            answers.write(pickle.dumps(answer))
        os._exit(0)
    finally:
        os._exit(70)
