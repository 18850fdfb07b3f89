"""Run the ground's tests, in the checkout of a product on a copy that has the models which they are written for.

`python -m tests.ground [options of pytest]`; exits as pytest does.
"""

import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.config.settings import CHECKOUT
from tests.ground.own_models import copy_with_own_models, has_own_models


def run(words: list[str]) -> int:
    """Run pytest with these words; where they name no test, on all of the ground's."""
    named = [word for word in words if word.partition("::")[0].endswith(".py") or Path(CHECKOUT, word).is_dir()]
    if others := [word for word in named if "tests/ground" not in word]:
        print(f"{others[0]} is none of the ground's tests: `pytest {others[0]}` runs it.", file=sys.stderr)
        return 2
    pytest = [sys.executable, "-m", "pytest", *words, *(() if named else ("tests/ground",))]
    if has_own_models():
        return _run(pytest, CHECKOUT)
    with TemporaryDirectory(prefix="ground-") as above:
        checkout = Path(above, CHECKOUT.name)
        Path(above).chmod(0o755)  # the servers' user comes by
        copy_with_own_models(checkout)
        return _run(pytest, checkout)


def _run(command: list[str], checkout: Path) -> int:
    """Run a command to its end, whatever interrupts: it removes what it has started, which nobody else would find."""
    with subprocess.Popen(command, cwd=checkout) as tests:
        signal.signal(signal.SIGINT, lambda *_: None)  # a terminal sends it to pytest as well
        signal.signal(signal.SIGTERM, lambda *_: tests.send_signal(signal.SIGINT))
        return tests.wait()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
