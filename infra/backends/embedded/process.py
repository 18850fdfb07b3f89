"""Start, recognise and stop the servers' processes, never by name: a process is ours when it works in our folder."""

import json
import os
import pwd
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from infra.config.errors import StackError
from infra.config.files import write_atomically

_KILL_SECONDS = 10
_SAME_START_SECONDS = 1
# What is started in a data folder: the servers, and what fills it.
_PROGRAMS = frozenset({"postgres", "initdb", "redis-server", "valkey-server"})
COPY = ("cp", "-R", "-p")


@dataclass(frozen=True, slots=True)
class Account:
    """The user that the servers run as."""

    name: str
    uid: int
    gid: int

    @classmethod
    def for_servers(cls) -> "Account | None":
        """Return the user that root's servers run as: PostgreSQL refuses to run as root; None for an ordinary user."""
        if os.geteuid() != 0:
            return None
        for name in ("postgres", "nobody"):
            try:
                found = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(found.pw_name, found.pw_uid, found.pw_gid)
        raise StackError("The servers do not run as root, and there is no user postgres or nobody. Add one of them.")


@dataclass(frozen=True, slots=True)
class Started:
    """What was noted of a server when it was started: enough to start it again as it was, but for its password."""

    pid: int
    port: int
    config_hash: str
    command: tuple[str, ...]
    config: str
    environment: tuple[tuple[str, str], ...] = ()
    further_ports: tuple[tuple[int, int], ...] = ()
    since: float = 0.0


def spawn(
    command: Sequence[str],
    directory: Path,
    log: Path,
    account: Account | None,
    *,
    config: str = "",
    variables: Mapping[str, str] | None = None,
) -> "subprocess.Popen[bytes]":
    """Start a server that outlives this command: a session of its own, output to `log`, `config` on standard input.

    It gets no variable of this process's environment but the PATH, so that no secret goes along, and `variables`.
    """
    with log.open("ab") as output, _explained(command):
        process = subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**_environment(), **(variables or {})},
            start_new_session=True,
            umask=0o077,
            **run_as(account),
        )
    assert process.stdin is not None  # noqa: S101 - tells the type checker what PIPE means
    process.stdin.write(config.encode())
    process.stdin.close()
    return process


def run_as(account: Account | None) -> dict[str, Any]:
    """Return the arguments of Popen that make a process run as `account`."""
    return {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": []}


def run(command: Sequence[str], directory: Path, account: Account | None, *, text: str = "") -> None:
    """Run a program to its end, with `text` on its standard input.

    Raises:
        StackError: it failed; the message holds its own error.
    """
    with _explained(command):
        done = subprocess.run(
            command,
            cwd=directory,
            input=text,
            capture_output=True,
            text=True,
            errors="replace",  # its words may hold a path, which need not be UTF-8
            env=_environment(),
            check=False,
            **run_as(account),
        )
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
        # What a program says after its error is how it tidies up.
        reason = next((line for line in reversed(lines) if re.search(r"\b(FATAL|PANIC|ERROR|error):", line)), lines[-1])
        raise StackError(
            f"{Path(command[0]).name} failed with exit code {done.returncode}: {reason.rstrip('.')}. Correct that (a "
            "full disk, or rights of a folder?) and run the command again."
        )


@contextmanager
def _explained(command: Sequence[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StackError(
            f"{command[0]} cannot be run: {error.strerror}. Reinstall the project, or make that file executable for "
            f"the servers' user."
        ) from None


def _environment() -> Mapping[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def note(path: Path, started: Started) -> None:
    """Write down what was started."""
    write_atomically(path, json.dumps(asdict(started)))


def noted(path: Path) -> Started | None:
    """Return what was written down, None where there is nothing that can be read."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        pairs = {key: tuple(map(tuple, stored.get(key, ()))) for key in ("environment", "further_ports")}
        return Started(**stored | {"command": tuple(stored["command"])} | pairs)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def find(pid: int, directory: Path, since: float = 0.0) -> psutil.Process | None:
    """Return the process with this id if it lives and works in `directory`; ids are used again, folders are not.

    So does one that was started at `since`, in seconds of the epoch: what the product runs may name the folder nowhere.

    The folder is among a server's arguments, which everybody may read, and is what the server's own children work in,
    which root may not see inside a container.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        if abs(process.create_time() - since) < _SAME_START_SECONDS:
            return process
        return process if str(directory) in process.cmdline() or process.cwd() == str(directory) else None
    except psutil.Error:
        return None


def started_at(process: psutil.Process) -> datetime:
    """Return when the process was started."""
    return datetime.fromtimestamp(process.create_time(), UTC)


def stop(process: psutil.Process, directory: Path, how: signal.Signals, seconds: float) -> None:
    """Ask a process to end and wait for it; end it by force when it does not within `seconds`."""
    for signal_, patience in ((how, seconds), (signal.SIGKILL, _KILL_SECONDS)):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal_)
        if _ended([process], directory, patience):
            return


def kill_group(leader: int) -> None:
    """End what a server has started and left behind, as a shell does that was told to end: it had its own session."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def end_strays(directory: Path, seconds: float) -> None:
    """End the servers that work in `directory` beside a known one: what an interrupted command or a crash left there.

    What a user works on there, as with `tar` or an editor, goes on.

    Raises:
        StackError: a process stays.
    """
    strays = [stray for stray in psutil.process_iter() if find(stray.pid, directory) and _is_started_here(stray)]
    for stray in strays:
        with suppress(psutil.Error):
            stray.terminate()
    if not _ended(strays, directory, seconds):
        raise StackError(f"Process {strays[0].pid} works in {directory} and does not end. End it, then try again.")


def _is_started_here(process: psutil.Process) -> bool:
    """Return whether a process is one that is started in data folders; PostgreSQL's children are `postgres: …`."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    program = Path(words[0].partition(":")[0]).name if words else ""
    return program in _PROGRAMS or tuple(words[: len(COPY)]) == COPY


def _ended(processes: Sequence[psutil.Process], directory: Path, seconds: float) -> bool:
    """Wait until the processes have ended. One that its parent has not asked after yet has ended all the same."""
    from tenacity import Retrying, retry_if_result, stop_after_delay, wait_exponential

    waiting = Retrying(
        retry=retry_if_result(lambda ended: not ended),
        stop=stop_after_delay(seconds),
        wait=wait_exponential(multiplier=0.005, max=0.1),
        retry_error_callback=lambda _: False,
    )
    return bool(waiting(lambda: not any(_lives(process, directory) for process in processes)))


def _lives(process: psutil.Process, directory: Path) -> bool:
    try:
        return find(process.pid, directory, process.create_time()) is not None
    except psutil.Error:
        return False
