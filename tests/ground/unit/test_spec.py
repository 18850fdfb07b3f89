"""The declaration and its readings: identity, hash, compose."""

import json
from pathlib import Path

import pytest

from infra.config.errors import ConfigError
from infra.config.identity import Project
from infra.config.settings import Settings
from infra.declaration.compose import render_compose
from infra.declaration.spec import StackSpec, build_stack
from tests.kit.availability import NO_FILE
from tests.kit.errors import about
from tests.kit.stack import make_settings

PROJECT = Project("shop-12345678", "/somewhere/shop")


def declared(**environ: str) -> StackSpec:
    """Build a stack of fixed passwords, on fixed ports."""
    keys = ("POSTGRES", "APP_OWNER", "APP_USER", "APP_MAINTENANCE", "REDIS")
    fixed = {f"{key}_PASSWORD": f"S3cret-{key}" for key in keys} | {"POSTGRES_PORT": "5432", "REDIS_PORT": "6379"}
    return build_stack(Settings.load(NO_FILE, fixed | environ), PROJECT)


def hashes(spec: StackSpec) -> list[str]:
    """Return the config hashes of the stack's containers."""
    return [container.config_hash for container in spec.containers]


def test_a_project_is_named_by_its_real_path(tmp_path: Path) -> None:
    """Two folders of one name are two projects; one folder by two paths is one."""
    one, other, link = tmp_path / "a" / "Shop 1", tmp_path / "b" / "Shop 1", tmp_path / "link"
    one.mkdir(parents=True)
    other.mkdir(parents=True)
    link.symlink_to(one)
    assert Project.of(one) != Project.of(other)
    assert Project.of(link) == Project.of(one)
    assert Project.of(one).id.startswith("shop-1-")


def test_a_project_id_fits_where_it_is_used(tmp_path: Path) -> None:
    """Whatever the folder is called, the id is a valid compose project and fits cluster_name's 63 bytes."""
    for name in ("x" * 200, "Ünïcode ☃", "--", "A.B_C"):
        folder = tmp_path / name
        folder.mkdir()
        identity = Project.of(folder, "test").id
        assert len(identity) < 64
        assert identity.isascii()
        assert identity[0].isalnum()


@pytest.mark.parametrize(
    "change",
    [
        {"POSTGRES_IMAGE": "postgres:16.1"},
        {"POSTGRES_PORT": "5433"},
        {"DATABASE_POOL_BUDGET": "7"},
        {"REDIS_PASSWORD": "x"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_a_container_is_made_of_changes_its_hash(change: dict[str, str]) -> None:
    """Image, port, parameters and Redis's password each ask for another container."""
    assert hashes(declared()) != hashes(declared(**change))


@pytest.mark.parametrize(
    ("version", "volume", "mount_path", "data_path"),
    [
        ("16", "shop-12345678-postgres", "/var/lib/postgresql/data", "/var/lib/postgresql/data"),
        ("17", "shop-12345678-postgres-17", "/var/lib/postgresql/data", "/var/lib/postgresql/data"),
        ("18", "shop-12345678-postgres-18", "/var/lib/postgresql", "/var/lib/postgresql/18/docker"),
    ],
)
def test_each_version_has_a_volume_of_its_own_where_its_image_wants_it(
    version: str, volume: str, mount_path: str, data_path: str
) -> None:
    """Data of two versions lies side by side, and 16's keeps the name that it had."""
    container = declared(POSTGRES_VERSION=version).containers[0]
    assert (container.image, container.volume) == (f"postgres:{version}", volume)
    assert (container.mount_path, container.data_path) == (mount_path, data_path)


@pytest.mark.parametrize(
    ("version", "image", "program"),
    [
        ("", "redis:7-alpine", "redis-server"),
        ("7", "redis:7-alpine", "redis-server"),
        ("8", "redis:8-alpine", "redis-server"),
        ("valkey", "valkey/valkey:8-alpine", "valkey-server"),
    ],
)
def test_each_redis_has_its_image_and_program(version: str, image: str, program: str) -> None:
    """Valkey's image changes the user for its own program alone."""
    container = declared(REDIS_VERSION=version).containers[1]
    assert container.image == image
    assert f"docker-entrypoint.sh {program} " in container.command[-1]


def test_what_the_data_holds_does_not_change_the_hash() -> None:
    """PostgreSQL keeps its passwords in the data, so another one is no reason for another container."""
    assert hashes(declared()) == hashes(declared(POSTGRES_PASSWORD="other", APP_USER_PASSWORD="other"))


def test_a_missing_password_is_named() -> None:
    """A stack without one of its passwords is refused by the setting's name."""
    with pytest.raises(ConfigError, check=about(setting="APP_USER_PASSWORD")):
        build_stack(make_settings(APP_USER_PASSWORD=""), PROJECT)


def test_an_external_database_starts_no_stack() -> None:
    """With DATABASE_URL set the stack is refused, and the message holds no password."""
    with pytest.raises(ConfigError, check=about(setting="DATABASE_URL")) as refused:
        build_stack(make_settings(DATABASE_URL="postgresql://u:S3cret@db.example/app"), PROJECT)
    assert "S3cret" not in str(refused.value)


def test_the_compose_file_holds_no_secret() -> None:
    """The compose file names the variables of the secrets and holds none of them."""
    text = render_compose(declared())
    assert "S3cret" not in text
    assert "${POSTGRES_PASSWORD:" in text


def test_the_compose_file_doubles_every_dollar_sign() -> None:
    """Compose replaces variables in every value, so what is meant literally is doubled."""
    model = json.loads(render_compose(declared()))
    command = model["services"]["redis"]["command"][-1]
    assert '"$$REDISCLI_AUTH"' in command
    assert "$" not in command.replace("$$", "")


def test_tests_data_lives_in_memory() -> None:
    """A stack that is not durable has no volumes, syncs nothing and asks for no port of its own."""
    spec = build_stack(make_settings(POSTGRES_PORT="5432"), PROJECT, durable=False)
    assert [container.volume for container in spec.containers] == [None, None]
    assert ("fsync", "off") in spec.postgres.parameters
    assert spec.postgres.port is None


def test_connections_fit_the_budget() -> None:
    """The server takes the whole budget and has room for the reserved ones, migrations and a shell."""
    parameters = dict(declared(DATABASE_POOL_BUDGET="100").postgres.parameters)
    assert int(parameters["max_connections"]) >= 100 + 3 + 10


def test_a_spec_does_not_show_secrets() -> None:
    """The declaration's text shows no password, also as a container."""
    spec = declared()
    assert "S3cret" not in f"{spec!r} {spec.containers!r} {spec._replace(durable=False)!r}"
