"""Run a command and tell what it took: `python -I -S launch.py DESCRIPTOR WORDS…`.

A process counts the memory that its parent held when it was made as its own peak (Linux: exec keeps the high-water mark
of the memory that it lets go). So the command is started from here, a process smaller than any command, and not
from the benchmark with all that it has imported.

One line is written to the descriptor: seconds on the clock; seconds of processor time in the command and in those
below it that were waited for; the peak resident memory of the largest one of these, in bytes; the exit code, that of a
signal negative (getrusage(2) and wait4(2): the times of children are summed up, of their peaks the largest is kept).
"""

import os
import signal
import sys
import time

_FOR_THE_COMMAND = (signal.SIGINT, signal.SIGTERM)
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_BYTES = 1 if sys.platform == "darwin" else 1024  # a unit of ru_maxrss


def main(descriptor: int, *words: str) -> None:
    """Run the command to its end; interrupts are left for the command to handle."""
    os.set_inheritable(descriptor, False)
    for caught in _FOR_THE_COMMAND:
        signal.signal(caught, signal.SIG_IGN)
    started = time.perf_counter()
    command = os.posix_spawnp(words[0], words, os.environ, setsigdef=_FOR_THE_COMMAND + _IGNORED_BY_PYTHON)
    _, status, used = os.wait4(command, 0)
    wall, cpu, memory = time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss * _BYTES
    os.write(descriptor, f"{wall} {cpu} {memory} {os.waitstatus_to_exitcode(status)}\n".encode())


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
