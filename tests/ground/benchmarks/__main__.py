"""Time the commands against their peers: `python -m tests.ground.benchmarks --help`."""

import argparse
import json
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import NoReturn

from infra.config.errors import InfraError
from infra.config.settings import BackendChoice
from schema.errors import SchemaError
from tests.ground.benchmarks import against_drizzle, bring_up, generate, isolation, kit, migrate, start_up
from tests.ground.benchmarks.cases import Measured, Suite, measure
from tests.ground.benchmarks.commands import CommandFailed, uninterrupted
from tests.ground.benchmarks.report import as_data, as_table

_SUITES: dict[Suite, BackendChoice | None] = {
    start_up.SUITE: None,
    migrate.SUITE: BackendChoice.EMBEDDED,
    isolation.SUITE: BackendChoice.EMBEDDED,
    kit.SUITE: BackendChoice.EMBEDDED,
    **dict.fromkeys((*generate.SUITES, *against_drizzle.SUITES), BackendChoice.EMBEDDED),
    bring_up.EMBEDDED: BackendChoice.EMBEDDED,
    bring_up.DOCKER: BackendChoice.DOCKER,
}


def main() -> int:
    """Measure what is asked for; return the exit code."""
    options = _options()
    signal.signal(signal.SIGTERM, _terminated)
    measured: list[Measured] = []
    skipped: dict[str, str] = {}
    try:
        for suite, backend in _SUITES.items():
            wanted = [name for name in suite.names if name in (options.only or suite.names)]
            if wanted and options.backend in {None, backend}:
                reason = suite.lacks()
                skipped |= dict.fromkeys(wanted, reason) if reason else {}
                measured += [] if reason else _measure(suite, wanted, options.rounds)
    except (CommandFailed, InfraError, SchemaError) as error:
        _say(str(error))
        return 1
    except KeyboardInterrupt:
        _say("interrupted; what was made is removed")
        return 128 + signal.SIGINT
    options.output.write_text(json.dumps(as_data(measured, skipped, options.rounds), indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"{as_table(measured)}\n" + "".join(f"{name}: skipped, {why}\n" for name, why in skipped.items()))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.ground.benchmarks", description=__doc__)
    names = [name for suite in _SUITES for name in suite.names]
    parser.add_argument(
        "--rounds",
        type=_rounds,
        default=7,
        help="how often each case is timed (7); those of 500 tables a third as often",
    )
    parser.add_argument(
        "--output", type=_output, default=Path("bench.json"), help="the file for the figures (bench.json)"
    )
    parser.add_argument("--only", action="append", choices=names, metavar="CASE", help=f"one of {', '.join(names)}")
    parser.add_argument("--backend", type=BackendChoice, choices=(BackendChoice.EMBEDDED, BackendChoice.DOCKER))
    return parser.parse_args()


def _rounds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError("it is a whole number from 1 up")
    return int(text)


def _output(text: str) -> Path:
    if not Path(text).parent.is_dir():
        raise argparse.ArgumentTypeError(f"the folder {Path(text).parent} does not exist")
    return Path(text)


def _measure(suite: Suite, wanted: list[str], rounds: int) -> list[Measured]:
    """Measure cases of a suite and remove all that they made."""
    undo = ExitStack()
    try:
        return [measure(case, rounds, _say) for case in suite.set_up(undo) if case.name in wanted]
    finally:
        with uninterrupted():
            undo.close()


def _terminated(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
