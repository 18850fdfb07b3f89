"""What doctor makes of what it finds, and that its exit code is `up`'s."""

import os
import re
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from infra.backends.data_directory import Data
from infra.backends.docker.log import split_lines
from infra.backends.docker.publisher import describe_holder
from infra.backends.drift import describe_changes, differences
from infra.commands import clients
from infra.commands.clients import As, _external
from infra.commands.doctor.engine import _missing
from infra.commands.doctor.env_file import KEYS, examine_env_file, judged_mode, misspelt
from infra.commands.doctor.findings import Finding, Level, exit_code, failed, ok, warn
from infra.commands.doctor.machine import judged_disk
from infra.commands.doctor.servers import judged_data, judged_refusal
from infra.config.errors import ConfigError, CredentialsRefused, EnvironmentFault, StackError
from infra.config.identity import Project, Service, state_directory
from infra.config.settings import Settings
from infra.declaration.spec import PATH_LABEL, PROJECT_LABEL
from tests.kit.availability import NO_FILE


def run(folder: Path, *words: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """Run `invoke …` in a checkout with nothing of this process's environment but the PATH."""
    kept = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_STATE_HOME": str(folder / "state")}
    return subprocess.run(
        [sys.executable, "-m", "invoke", *words],
        cwd=folder,
        env=kept | environ,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def lone(copy: Path) -> Iterator[Path]:
    """Give a copy of the project whose state folder goes with it: `up` makes one before it fails."""
    yield copy
    shutil.rmtree(state_directory(Project.of(copy)), ignore_errors=True)


@pytest.fixture
def hung_engine(tmp_path: Path) -> Iterator[str]:
    """Give the address of an engine that takes connections and never answers."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "hung.sock"))
        listening.listen()
        yield f"unix://{tmp_path / 'hung.sock'}"


@pytest.mark.parametrize(
    ("line", "environ", "code"),
    [
        ("", {"STACK_BACKEND": "docker", "DOCKER_HOST": "unix:///nowhere"}, 3),
        ("", {"STACK_BACKEND": "podman"}, 2),
        ("nonsense S3cret\n", {}, 2),
        ("POSTGRES_PORT=S3cret\n", {}, 2),
        ("APP_ENV=development\n", {}, 2),
    ],
    ids=["no engine", "unknown backend", "no KEY=value", "no port", "no passwords"],
)
def test_doctor_ends_as_up_would(lone: Path, line: str, environ: dict[str, str], code: int) -> None:
    """What ends `up` ends doctor with the same exit code, and neither shows what stands in `.env`."""
    if line:
        (lone / ".env").write_text(line)
    doctor, up = run(lone, "doctor", **environ), run(lone, "up", **environ)
    assert (doctor.returncode, up.returncode) == (code, code)
    assert "fail" in doctor.stdout
    assert "Traceback" not in doctor.stderr
    assert "S3cret" not in doctor.stdout + doctor.stderr


def test_a_hung_engine_is_given_up(copy: Path, hung_engine: str) -> None:
    """With an engine that does not answer in time doctor still looks at all else, and ends with 3."""
    engine = copy / "infra" / "backends" / "docker" / "engine.py"
    engine.write_text(engine.read_text().replace("_PING_SECONDS = 5\n", "_PING_SECONDS = 0.2\n"))
    done = run(copy, "doctor", STACK_BACKEND="docker", DOCKER_HOST=hung_engine)
    assert done.returncode == 3
    assert "did not answer within 0.2 s" in done.stdout
    assert re.search(r"^ok +memory", done.stdout, re.MULTILINE)


def test_the_exit_code_is_the_first_failures() -> None:
    """Warnings do not fail, and of several failures the one that `up` meets first decides."""
    config, stack = failed("a", ConfigError("It is wrong. Mend it.")), failed("b", StackError("Broken."))
    assert exit_code([ok("x", "fine"), warn("y", "hm", "Look")]) == 0
    assert exit_code([warn("y", "hm", "Look"), config, stack]) == 2
    assert exit_code([stack, config]) == 4


def test_an_error_is_parted_into_what_and_what_next() -> None:
    """The first sentence of an error is what was found, the rest what to do."""
    assert failed("data", StackError("It is old. Dump it. Restore it.")) == Finding(
        Level.FAIL, "data", "It is old", "Dump it. Restore it.", 4
    )


@pytest.mark.parametrize(
    ("key", "meant"),
    [("POSTGRES_PASWORD", "POSTGRES_PASSWORD"), ("postgres_port", "POSTGRES_PORT"), ("SENTRY_DSN", None)],
)
def test_a_misspelt_key_is_recognised(key: str, meant: str | None) -> None:
    """A key that looks like a setting is taken for one that was misspelt; another program's key is not."""
    assert misspelt([key, "REDIS_PORT"], KEYS).get(key) == meant


@pytest.mark.parametrize(("mode", "level"), [(0o600, Level.OK), (0o400, Level.OK), (0o640, Level.WARN)])
def test_others_must_not_read_the_passwords(mode: int, level: Level) -> None:
    """A `.env` that anybody else may read is a warning."""
    assert judged_mode(Path(".env"), mode).level is level


def test_the_env_file_is_looked_at_and_not_shown(tmp_path: Path) -> None:
    """A wide mode and a misspelt key are named with file and line; no value is."""
    path = tmp_path / ".env"
    path.write_text("APP_ENV=development\nREDIS_PASWORD=S3cret\n")
    path.chmod(0o644)
    findings = list(examine_env_file(tmp_path))
    assert [finding.level for finding in findings] == [Level.WARN, Level.WARN]
    assert f"{path}:2" in findings[1].found
    assert "S3cret" not in "".join(map(str, findings))
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


@pytest.mark.parametrize(("free", "level"), [(0, Level.FAIL), (999_999_999, Level.WARN), (10**9, Level.OK)])
def test_little_disk_is_a_warning(free: int, level: Level) -> None:
    """Less than 1 GB where the data lives is a warning, and no room at all what ends `up`."""
    assert judged_disk("data", Path("/"), free).level is level


@pytest.mark.parametrize(
    ("data", "level"),
    [
        (None, Level.OK),
        (Data("there", "16", complete=True), Level.OK),
        (Data("there", "16", complete=False), Level.WARN),
        (Data("there", None, complete=False), Level.WARN),
        (Data("there", "15", complete=True), Level.FAIL),
        (Data("there", None, complete=False, other="notes.txt"), Level.FAIL),
    ],
)
def test_data_is_judged_by_what_it_says_of_itself(data: Data | None, level: Level) -> None:
    """Only data of another major version, or of somebody else's, keeps `up` from succeeding."""
    assert judged_data(data, 16).level is level


def test_a_refusal_counts_once_it_was_proven_otherwise() -> None:
    """What `up` would teach the database is a warning; a role that somebody changed after the proof is a failure."""
    refusal = CredentialsRefused("PostgreSQL refuses app_user. Put it back.")
    assert judged_refusal(Service.POSTGRES, refusal, proven=False).level is Level.WARN
    assert judged_refusal(Service.POSTGRES, refusal, proven=True).exit_code == 4


@pytest.mark.parametrize(
    ("labels", "project", "stop"),
    [
        ({PROJECT_LABEL: "shop-1", PATH_LABEL: "/src/shop"}, "shop-1", "cd /src/shop && invoke down"),
        ({"com.docker.compose.project": "crm"}, "crm", "docker compose -p crm stop"),
        ({}, "web", "docker stop web"),
    ],
)
def test_a_container_is_named_by_whose_it_is(labels: dict[str, str], project: str, stop: str) -> None:
    """Who holds a port is named by the labels of the container, with the command that stops it."""
    holder = describe_holder({"Names": ["/web"], "Labels": labels})
    assert project in holder.name
    assert holder.stop == stop


def test_a_missing_image_says_why() -> None:
    """The registry's own reason is in the finding, and what to do in its remedy."""
    finding = failed("image", _missing("postgres:16", "no such host."))
    assert finding.found.endswith("no such host")
    assert "STACK_BACKEND=embedded" in finding.remedy


def test_differences_name_both_values() -> None:
    """Of a parameter that changed both values are named; what is no parameter is only said to differ."""
    assert differences(["postgres", "-c", "a=1", "b=2"], ["postgres", "-c", "a=3", "b=2"]) == ["a 1 → 3"]
    assert differences(["sh", "x"], ["sh", "y"]) == ["command"]
    assert "not shown" in describe_changes([])


def test_a_log_is_cut_into_lines_wherever_it_was_cut() -> None:
    """A line that arrives in pieces is one line; one that is not ended counts too."""
    assert list(split_lines([b"on", b"e\ntw", b"o\n", b"three"])) == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("keys", "whom", "user"),
    [
        ({}, None, None),
        ({"DATABASE_URL": "u"}, None, "u"),
        ({"DATABASE_URL": "u", "DATABASE_OWNER_URL": "o"}, None, "o"),
        ({"DATABASE_URL": "u", "DATABASE_OWNER_URL": "o"}, As.USER, "u"),
        ({"DATABASE_URL": "u", "DATABASE_ADMIN_URL": "a"}, As.ADMIN, "a"),
    ],
)
def test_psql_goes_where_the_urls_say(keys: dict[str, str], whom: As | None, user: str | None) -> None:
    """A URL that is set is where psql connects; without one for the owner an external database is the user's."""
    urls = {key: f"postgresql://{name}:S3cret@h/d" for key, name in keys.items()}
    found = _external(Settings.load(NO_FILE, urls), whom)
    assert (found.user if found else None) == user


@pytest.mark.parametrize(("mode", "refused"), [("prefer", False), ("require", True), ("verify-full", True)])
def test_psql_without_tls_is_not_sent_where_tls_is_asked_for(
    mode: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wheel's psql speaks no TLS: the command says so, and which other one to install."""
    monkeypatch.setattr(clients, "_own_psql", lambda: "/wheel/psql")
    settings = Settings.load(NO_FILE, {"DATABASE_URL": "postgresql://a:S3cret@db/app", "DATABASE_SSLMODE": mode})
    with pytest.raises(EnvironmentFault, match="postgresql-client") if refused else nullcontext():
        clients.psql(settings, Project.of(NO_FILE), None)
