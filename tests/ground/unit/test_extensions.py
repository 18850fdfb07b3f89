"""The extensions that pyproject.toml declares."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.config.errors import ConfigError
from infra.config.extensions import declared_extensions, parse_extensions


def declared(folder: Path, value: str) -> tuple[str, ...]:
    """Return what is declared by a pyproject.toml with this value."""
    (folder / "pyproject.toml").write_text(f"[tool.groundwork]\nextensions = {value}\n", encoding="utf-8")
    return declared_extensions(folder)


def test_each_is_declared_once_in_its_order(tmp_path: Path) -> None:
    """Names are taken as they stand; without a list, or without a file, there are none."""
    assert declared_extensions(tmp_path) == ()
    assert declared(tmp_path, '["vector", "uuid-ossp", "pg_trgm", "vector"]') == ("vector", "uuid-ossp", "pg_trgm")
    assert declared(tmp_path, "[]") == ()
    (tmp_path / "pyproject.toml").write_text("[project]\n", encoding="utf-8")
    assert declared_extensions(tmp_path) == ()


@pytest.mark.parametrize("value", ['"vector"', '{vector = "0.8"}', "[1]", "true", '["pg trgm"]', '[""]', '["-x"]'])
def test_what_is_no_list_of_names_is_refused(value: str, tmp_path: Path) -> None:
    """The error names the key and the file."""
    with pytest.raises(ConfigError) as refused:
        declared(tmp_path, value)
    assert "[tool.groundwork] extensions" in str(refused.value)
    assert str(tmp_path / "pyproject.toml") in str(refused.value)


@given(st.text(max_size=12))
def test_a_name_that_is_taken_is_no_path_and_no_option(name: str) -> None:
    """It becomes a file's name in the server's folder, and a word in a message."""
    try:
        (taken,) = parse_extensions([name], Path("pyproject.toml"))
    except ConfigError:
        return
    assert taken == name
    assert not set(name) & set("/.\\'\" \n\0")
    assert not name.startswith("-")
    assert "--" not in name
