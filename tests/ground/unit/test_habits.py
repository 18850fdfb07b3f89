"""What keeps the code in shape is the same wherever it is run."""

import re

from infra.commands.quality import CHECKS
from infra.config.settings import CHECKOUT


def test_a_commit_is_checked_as_by_lint() -> None:
    """The hooks of pre-commit are the checks of `invoke lint`, in their order."""
    hooks = (CHECKOUT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"^ +entry: (.*)$", hooks, re.MULTILINE) == [*CHECKS]


def test_type_checkers_read_both_packages() -> None:
    """Each package says that it is typed (PEP 561)."""
    assert [(CHECKOUT / package / "py.typed").exists() for package in ("infra", "schema")] == [True, True]
