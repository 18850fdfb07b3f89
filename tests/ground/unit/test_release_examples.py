"""The examples of a release are what the systems that read them accept, and name what there is."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from infra.config.settings import CHECKOUT, setting_keys
from tests.ground.unit.test_pages import listed_commands

FOLDER = CHECKOUT / "infra" / "images" / "release"
SCHEMAS = {
    "compose.yaml": "vendor.compose-spec",
    "github-actions.yml": "vendor.github-workflows",
    "gitlab-ci.yml": "vendor.gitlab-ci",
}
EXAMPLES = sorted((*SCHEMAS, "kubernetes.yaml"))


def validate(path: Path) -> "subprocess.CompletedProcess[str]":
    """Hold an example against the schema of its system, which the validators bring along: no network is asked."""
    schema = SCHEMAS.get(path.name)
    check = ["check_jsonschema", "--builtin-schema", schema] if schema else ["kubernetes_validate", "--strict"]
    words = [sys.executable, "-m", *check, str(path)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def said(name: str) -> str:
    """Return the text of an example without its comments."""
    return re.sub(r"#.*", "", (FOLDER / name).read_text(encoding="utf-8"))


def test_every_example_is_tried() -> None:
    """No example lies in the folder that these tests do not look at."""
    assert sorted(path.name for path in FOLDER.glob("*.y*ml")) == EXAMPLES


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_valid(name: str) -> None:
    """The system that an example is for accepts it."""
    done = validate(FOLDER / name)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("compose.yaml", "depends_on"),
        ("github-actions.yml", "runs-on"),
        ("gitlab-ci.yml", "script"),
        ("kubernetes.yaml", "containers"),
    ],
)
def test_a_misspelt_example_is_not_valid(name: str, word: str, tmp_path: Path) -> None:
    """What judges the examples finds a key that its system does not know."""
    (tmp_path / name).write_text((FOLDER / name).read_text().replace(f"{word}:", f"{word}x:"))
    assert validate(tmp_path / name).returncode != 0


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_names_settings_commands_and_files_that_there_are(name: str) -> None:
    """Every setting that a container is given is one, every `invoke` is of a command, every path leads to a file."""
    text = said(name)
    assert set(re.findall(r"\bDATABASE_[A-Z_]+", text)) <= set(setting_keys())
    given = re.findall(r"\[(?:CMD, )?invoke, ([a-z, -]+)\]", text)
    assert {word for words in given for word in words.split(", ")} <= listed_commands()
    assert all((CHECKOUT / path).exists() for path in re.findall(r"\binfra/[\w./-]+|\bconstraints\.txt", text))


def test_kubernetes_runs_the_user_of_the_image() -> None:
    """A pod asks for the very user whom the Dockerfile names, and for its group to read the secrets."""
    (user, group) = re.findall(r"^USER (\d+):(\d+)$", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)[0]
    text = said("kubernetes.yaml")
    for key, number in (("runAsUser", user), ("runAsGroup", group), ("fsGroup", group)):
        assert re.findall(rf"{key}: (\d+)", text) == [number, number]
