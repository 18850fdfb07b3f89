"""The locks that keep commands apart, and what they leave."""

import fcntl
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from infra.config.identity import Project, state_directory
from infra.stack.locks import lock_holder, ports_claimed, project_lock, undisturbed

ONE, OTHER = Project("one-12345678", "/src/one"), Project("other-12345678", "/src/other")
_PATIENCE = 10
Lock = Callable[[Project, Callable[[str], None]], AbstractContextManager[None]]


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the state in a folder of the test's own."""
    monkeypatch.setattr("infra.config.identity.ROOT_STATE", tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def is_locked(path: Path) -> bool:
    """Return whether anybody holds a file's lock."""
    with path.open() as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def nobody(line: str) -> None:
    """Refuse to wait."""
    raise AssertionError(line)


def test_a_command_keeps_others_from_its_stack_alone() -> None:
    """While one command holds a stack's lock it is named as the holder; another stack is free, and nothing is left."""
    with project_lock(ONE, nobody):
        assert is_locked(state_directory(ONE) / "lock")
        assert lock_holder(ONE) == f"pid {os.getpid()}"
        with project_lock(OTHER, nobody):
            assert lock_holder(OTHER)
    assert lock_holder(ONE) is None
    assert not state_directory(ONE).exists()


@pytest.mark.parametrize("lock", [project_lock, undisturbed])
def test_whoever_waits_says_for_whom(lock: Lock) -> None:
    """A command that changes the stack, or looks at it, waits for the one that has the lock and names its process."""
    said: list[str] = []
    waits = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        waits.set()

    def enter() -> None:
        with lock(ONE, say):
            pass

    with ThreadPoolExecutor() as threads:
        with project_lock(ONE, nobody):
            entering = threads.submit(enter)
            assert waits.wait(_PATIENCE)
        entering.result(_PATIENCE)
    assert f"pid {os.getpid()}" in said[0]


def test_a_lock_that_went_with_its_stack_is_taken_anew() -> None:
    """Who waited for a command that removed the stack, lock and all, holds a lock that others can see."""
    waits = threading.Event()

    def enter() -> str | None:
        with project_lock(ONE, lambda _: waits.set()):
            return lock_holder(ONE)

    with ThreadPoolExecutor() as threads:
        with project_lock(ONE, nobody):
            entering = threads.submit(enter)
            assert waits.wait(_PATIENCE)
            shutil.rmtree(state_directory(ONE))
        assert entering.result(_PATIENCE) == f"pid {os.getpid()}"


def test_stacks_choose_their_ports_one_after_the_other() -> None:
    """While one stack takes its ports no other of this user chooses any."""
    with ports_claimed(ONE):
        assert is_locked(state_directory(OTHER).parent / "ports.lock")
    assert not is_locked(state_directory(OTHER).parent / "ports.lock")
