"""Commands behind pipes, closed streams and other encodings do what they do, and print no traceback."""

import subprocess
import sys

import pytest

from infra.config.identity import OUR_SERVICES
from tests.kit.checkout import Checkout

_INVOKE = f"{sys.executable} -m invoke"


def shell(checkout: Checkout, line: str, **environ: str) -> "subprocess.CompletedProcess[bytes]":
    """Run a line of bash in the checkout; INVOKE stands for the command."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line.replace("INVOKE", _INVOKE)],
        cwd=checkout.path,
        env=checkout._environment() | environ,
        capture_output=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("INVOKE status --json | head -0", 0),
        ("INVOKE --list | head -1", 0),
        ("INVOKE up --help | head -1", 0),
        ("INVOKE doctor | head -0", 0),
        ("INVOKE logs --lines 1000 | head -1", 0),
        ("POSTGRES_PORT=1 INVOKE doctor --json | head -0", 0),
        ("INVOKE status <&-", 0),
        ("INVOKE plan >&-", 0),
        ("INVOKE plan 2>&-", 0),
        ("INVOKE down --volumes <&-", 1),
        ("echo 'SELECT 1' | INVOKE psql | head -0", 0),
    ],
)
@pytest.mark.one_backend
def test_streams_that_nobody_reads_or_has_are_no_error(served: Checkout, line: str, code: int) -> None:
    """Whichever stream is closed or has no reader, a command ends as ever, and says nothing of Python's.

    The kind: a stream that is not the terminal or pipe that Python takes it for.
    """
    done = shell(served, f"({line}); exit ${{PIPESTATUS[0]}}" if "|" not in line else line)
    for words in (b"Traceback", b"Exception ignored", b"Error:"):
        assert words not in done.stderr, done.stderr.decode()
    if "|" not in line:
        assert done.returncode == code, done.stderr.decode()


@pytest.mark.one_backend
def test_what_an_encoding_lacks_is_escaped(served: Checkout) -> None:
    """Signs that the stream's encoding does not have are escaped as Python writes them, and the rest is there."""
    done = shell(served, "INVOKE plan", DATABASE_POOL_BUDGET="50", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr.decode()
    assert b"max_connections 120 \\u2192 70" in done.stdout


@pytest.mark.one_backend
def test_progress_that_nobody_reads_takes_nothing_back(checkout: Checkout) -> None:
    """An `up` whose first line of progress finds no reader goes on, and its servers run."""
    shell(checkout, "INVOKE up 2>&1 | head -0")
    assert set(checkout.status()["services"]) == set(OUR_SERVICES)
