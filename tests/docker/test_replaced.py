"""A container that another one takes the place of."""

from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from infra.docker_backend.backend import DockerBackend
from infra.endpoints import admin_url
from infra.errors import CredentialsRefused
from infra.ports import choose_ports, spec_ports
from infra.probes import probe_postgres
from infra.spec import Project, Service, build_stack
from infra.state import ports_claimed
from infra.waiting import wait_until_ready
from tests.fixtures.stack import make_settings, say

pytestmark = pytest.mark.usefixtures("docker")


def test_a_replaced_server_is_not_taken_for_the_new_one(tmp_path: Path) -> None:
    """While the new server starts, the one that was set aside neither counts as it nor speaks for it."""
    settings = make_settings()
    spec = build_stack(settings, Project.of(tmp_path, "replaced"))
    backend = DockerBackend(spec.project)
    spec = backend.resolve(spec, {}, None, say)
    try:
        with ExitStack() as undo:
            with ports_claimed(spec.project):
                spec = spec.on_ports(choose_ports(spec, {}, {}, say))
                backend.up(spec, undo)
            admin = admin_url(settings, spec_ports(spec))
            # It serves, and its new data knows nobody's password yet: a line that only its own log has.
            with pytest.raises(CredentialsRefused):
                wait_until_ready(lambda: probe_postgres(admin, spec.project.id), lambda: None, timedelta(minutes=1))
            assert "password authentication failed" in "".join(backend.logs(Service.POSTGRES, 100))
            changed = spec._replace(postgres=spec.postgres._replace(parameters=(("cluster_name", "changed"),)))
            backend.up(changed, undo)
            backend.still_alive(Service.POSTGRES)
            assert "password authentication failed" not in "".join(backend.logs(Service.POSTGRES, 100))
            undo.pop_all()
    finally:
        backend.down(volumes=True)
