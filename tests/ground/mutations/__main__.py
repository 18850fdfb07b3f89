"""Remove each defence in a copy of the project and run the tests that must notice; exit 1 where none does.

`python -m tests.ground.mutations [--only TEXT]`; the tests run on plain processes, a copy for each core at a time.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.ground.mutations.defences import REMOVALS, Removal
from tests.ground.own_models import take_as_own
from tests.kit.checkout import copy_project


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the removals that are asked for and say of each what noticed it."""
    parser = argparse.ArgumentParser(prog="python -m tests.ground.mutations", description=__doc__)
    parser.add_argument("--only", default="", help="Only defences whose name holds this text.")
    only = parser.parse_args(arguments).only
    removals = [removal for removal in REMOVALS if only in removal.defence]
    if not removals:
        parser.error(f"no defence is called {only!r}")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as threads:
        green = run(Path(folder) / "whole", sorted({test for removal in removals for test in removal.tests}))
        if green.returncode != 0:
            print(f"the tests fail with every defence in place:\n{green.stdout}", file=sys.stderr)
            return 1
        folders = [Path(folder) / f"without-{number}" for number in range(len(removals))]
        red = list(threads.map(noticed, folders, removals))
    print(f"{sum(red)} of {len(red)} removals turn a test red")
    return 0 if all(red) else 1


def noticed(folder: Path, removal: Removal) -> bool:
    """Remove one defence in a new copy, and tell whether a test fails."""
    done = run(folder, removal.tests, removal)
    first = next((line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))), "")
    print(f"{removal.defence}: {first or 'NOTHING NOTICED'}", flush=True)
    return done.returncode == 1 and bool(first)


def run(folder: Path, tests: Sequence[str], removal: Removal | None = None) -> "subprocess.CompletedProcess[str]":
    """Run tests in a copy of the project, until the first that fails."""
    copy_project(folder, "tests")
    if removal is not None:
        removal.apply(folder)
        take_as_own(folder)
    options = ("-x", "-q", "-n", "0", "-p", "no:cacheprovider", "-p", "no:randomly", "--backend", "embedded")
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *tests], cwd=folder, capture_output=True, text=True, check=False
    )


if __name__ == "__main__":
    sys.exit(main())
