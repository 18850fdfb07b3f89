"""A container that another one takes the place of."""

from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from infra.backends.docker.backend import DockerBackend
from infra.config.endpoints import admin_url
from infra.config.errors import CredentialsRefused
from infra.config.identity import Project, Service
from infra.config.settings import BackendChoice
from infra.declaration.spec import build_stack
from infra.stack.ports import choose_ports, spec_ports
from infra.stack.probes import probe_postgres
from infra.stack.waiting import wait_until_ready
from tests.ground.contract.test_doctor_agrees import require_agreement
from tests.kit.checkout import Checkout, copy_project
from tests.kit.stack import make_settings, say
from tests.kit.world import engine, run_in_data

pytestmark = pytest.mark.usefixtures("docker")


@pytest.mark.slow
def test_a_replaced_server_is_not_taken_for_the_new_one(tmp_path: Path) -> None:
    """While the new server starts, the one that was set aside neither counts as it nor speaks for it."""
    settings = make_settings()
    spec = build_stack(settings, Project.of(tmp_path, "replaced"))
    backend = DockerBackend(spec.project)
    spec = backend.resolve(spec, {}, None, say)
    try:
        with ExitStack() as undo:
            # Not the standard ports: another stack may choose those while a server is replaced.
            spec = spec.on_ports(choose_ports(spec._replace(durable=False), {}, {}, say))
            backend.up(spec, undo)
            admin = admin_url(settings, spec_ports(spec))
            # It serves, and its new data knows nobody's password yet: a line that only its own log has.
            with pytest.raises(CredentialsRefused):
                wait_until_ready(
                    lambda: probe_postgres(admin, spec.project.id, spec.postgres.version),
                    lambda: None,
                    timedelta(minutes=1),
                )
            assert "password authentication failed" in "".join(backend.logs(Service.POSTGRES, 100))
            changed = spec._replace(postgres=spec.postgres._replace(parameters=(("cluster_name", "changed"),)))
            backend.up(changed, undo)
            backend.still_alive(Service.POSTGRES)
            assert "password authentication failed" not in "".join(backend.logs(Service.POSTGRES, 100))
            undo.pop_all()
    finally:
        backend.down(volumes=True)


@pytest.mark.slow
def test_a_redis_that_cannot_read_the_data_replaces_nothing(tmp_path: Path) -> None:
    """Data that a later Redis wrote is refused to an earlier image before the server that runs on it is stopped.

    The kind: another program than the one that wrote the data, of which only the start shows that it cannot read it.
    The base of the append-only file gets a later version's header; the image is the same server under another id.
    """
    checkout = Checkout(copy_project(tmp_path / "shop"), BackendChoice.DOCKER)
    other = f"{checkout.project.id}:7"
    with engine() as client:
        try:
            checkout.succeed("up")
            client.commit(f"{checkout.project.id}-redis", checkout.project.id, "7")
            header = "printf REDIS0099 | dd of=$(echo appendonlydir/*.base.rdb) conv=notrunc status=none"
            run_in_data(checkout.project, checkout.backend, Service.REDIS, header)
            before = checkout.status()
            reason = require_agreement(checkout, 4, REDIS_IMAGE=other)
            assert "written by a later Redis" in reason
            assert f"redis-server of {other}" in reason
            assert checkout.status() == before
            older = header.replace("REDIS0099", "REDIS0010")
            run_in_data(checkout.project, checkout.backend, Service.REDIS, older)
            checkout.succeed("up", REDIS_IMAGE=other)
        finally:
            checkout.invoke("down", "--volumes", "--yes")
            client.remove_image(other, force=True)
