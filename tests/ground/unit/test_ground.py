"""What `init` and `update` read and decide without git: versions, changelogs, addresses."""

from pathlib import Path

import pytest

from infra.commands.ground.changelog import between
from infra.commands.ground.git import GroundError
from infra.commands.ground.pyproject import Record, as_of_product, begun, dependencies, read
from infra.commands.ground.remote import without_password
from infra.config.errors import ConfigError
from infra.config.ground import ground_version, read_ground
from tests.kit.errors import about

CHANGES = """# Changes

## Unreleased

Later.

## 0.10.0 (a date)

Ten.

### In short

More.

## 0.9.1

Nine.

## 0.9.0

Old.
"""


def test_the_changelog_is_shown_for_the_versions_between() -> None:
    """The parts after the recorded version, until the new one, by their numbers and as they stand."""
    shown = between(CHANGES, "0.9.0", "0.10.0")
    assert shown == "## 0.10.0 (a date)\n\nTen.\n\n### In short\n\nMore.\n\n## 0.9.1\n\nNine."
    assert between(CHANGES, "0.10.0", "0.11.0") == ""
    assert between("", "0.1.0", "0.2.0") == ""


@pytest.mark.parametrize(
    ("address", "recorded"),
    [
        ("https://ada:s3cret@example.com:8443/g.git", "https://example.com:8443/g.git"),
        ("https://token@example.com/g.git", "https://example.com/g.git"),
        ("git@example.com:org/g.git", "git@example.com:org/g.git"),
        ("ssh://git@example.com/g.git", "ssh://git@example.com/g.git"),
        ("../ground", "../ground"),
        ("origin", "origin"),
    ],
)
def test_no_password_is_recorded(address: str, recorded: str) -> None:
    """What stands before the host of an http address is left out; an ssh address needs its user."""
    assert without_password(address) == recorded


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('[project]\nname = "groundwork"\nversion = "1.2.3"\n', "1.2.3"),
        ('[project]\nname = "shop"\nversion = "7.0"\n[tool.groundwork]\nground = "1.2.3"\n', "1.2.3"),
        ('[project]\nname = "shop"\n', "unknown"),
    ],
)
def test_the_version_of_the_ground_is_what_a_product_recorded(tmp_path: Path, text: str, version: str) -> None:
    """In the ground's own checkout it is the project's; a product's own version is another matter."""
    (tmp_path / "pyproject.toml").write_text(text)
    assert ground_version(tmp_path) == version


def test_a_checkout_without_a_version_is_unknown_and_a_broken_one_named(tmp_path: Path) -> None:
    """The packages may be installed without the checkout; a file that cannot be read is an error."""
    assert ground_version(tmp_path) == "unknown"
    (tmp_path / "pyproject.toml").write_text("[")
    with pytest.raises(ConfigError, check=about(file=tmp_path / "pyproject.toml")):
        ground_version(tmp_path)


GROUND = """[project]
name = "groundwork"
version = "1.0.0" # a comment
description = "Ground."

[project.optional-dependencies]
docker = ["docker>=7"]
dev = [
    "groundwork[docker]", # itself
    "groundwork-extra>=1",
]
product = []

[tool.groundwork.isolation.allow.rule]
"an.object" = "a reason"
"""
RECORD = Record("1.0.0", "a" * 40, "https://example.com/g.git")


def test_a_product_begins_with_its_name_and_the_record_at_the_end() -> None:
    """All other lines stay as they are, comments too."""
    text = begun(GROUND, GROUND, "shop", RECORD)
    former, lines = GROUND.splitlines(), text.splitlines()
    assert [line for line in lines if line not in former] == [
        'name = "shop"',
        'version = "0.1.0" # a comment',
        'description = "The product shop."',
        '    "shop[docker]", # itself',
        "# The ground that this product stands on; `invoke update` keeps it.",
        "[tool.groundwork]",
        'ground = "1.0.0"',
        f'base = "{"a" * 40}"',
        'remote = "https://example.com/g.git"',
    ]
    assert read(text, "here")["project"]["name"] == "shop"


def test_a_version_of_the_ground_is_seen_with_what_is_the_products() -> None:
    """So a merge finds neither name, version nor dependencies of the product's changed by the ground."""
    own = begun(GROUND, GROUND, "shop", RECORD).replace("product = []", 'product = [\n    "stripe", # ours\n]')
    assert as_of_product(GROUND, own, RECORD) == own
    assert as_of_product(GROUND.replace("1.0.0", "2.0.0").replace("Ground.", "New."), own, RECORD) == own
    later = as_of_product(GROUND, own, RECORD._replace(ground="2.0.0"))
    assert later == own.replace('ground = "1.0.0"', 'ground = "2.0.0"')


def test_an_environment_is_installed_again_for_dependencies_alone() -> None:
    """Another name or version changes nothing that is installed, another dependency does."""
    ground, product = read(GROUND, "here"), read(begun(GROUND, GROUND, "shop", RECORD), "here")
    assert dependencies(ground) == dependencies(product)
    assert dependencies(ground) != dependencies(read(GROUND.replace("docker>=7", "docker>=8"), "here"))
    assert dependencies(ground) != dependencies(read(GROUND.replace("extra>=1", "extra>=2"), "here"))


def test_a_product_with_a_name_for_its_database_keeps_it(tmp_path: Path) -> None:
    """It stands behind the record, and functions that are allowed are called so, on both sides of a merge too."""
    ground = GROUND.replace('"an.object"', '"app.resolve_tenant(text,text)"')
    own = begun(ground, ground, "our-shop", RECORD, "shop")
    assert own.endswith('remote = "https://example.com/g.git"\nname = "shop"\n')
    assert '"shop.resolve_tenant(text,text)" = "a reason"' in own
    assert as_of_product(ground, own, RECORD) == own
    (tmp_path / "pyproject.toml").write_text(own)
    assert read_ground(tmp_path / "pyproject.toml").name == "shop"


@pytest.mark.parametrize("text", ["[", "", "[project]\n"])
def test_a_file_that_names_no_project_is_refused(text: str) -> None:
    """What is read there is named."""
    with pytest.raises(GroundError, match="of the remote"):
        read(text, "the remote")
