"""Texts in the files that `generate` writes."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.migration.generate.literals import plain_literals

PARTS = st.one_of(st.text(max_size=6), st.sampled_from(["\\", "'", '"', '"""', "\\d", "\n", "%", "{x}", "\u202e"]))


@given(st.lists(PARTS, max_size=6).map("".join))
def test_every_text_stays_the_same(text: str) -> None:
    """Whatever a model says is in the file character by character, and what stands around it is untouched."""
    source = f"# it's \\ said\nx = f({text!r}, 1)\ny = f'{{1}}\\n'\n"
    written = plain_literals(source)
    call = ast.parse(written).body[0]
    assert isinstance(call, ast.Assign)
    assert isinstance(call.value, ast.Call)
    assert [ast.literal_eval(argument) for argument in call.value.args] == [text, 1]
    assert written.replace(written.splitlines()[1], "") == source.replace(source.splitlines()[1], "")


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (r"phone ~ '^\d+$'", r"""r"phone ~ '^\d+$'" """),
        ("\"Name\" <> 'x'", '""""Name" <> \'x\'"""'),
        (r"\"", r'r"\""'),
        ("it's", '"it\'s"'),
        ("two\nlines", r"'two\nlines'"),
        ("back\\", r"'back\\'"),
        ("\u202eback\\", r"'\u202eback\\'"),
    ],
)
def test_a_literal_is_plain_where_it_can_be(text: str, written: str) -> None:
    """A text has escapes only where no literal on one line can do without them, or would hide a sign."""
    assert plain_literals(f"f({text!r})\n") == f"f({written.strip()})\n"
