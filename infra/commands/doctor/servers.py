"""The stack itself: its ports, its data, whether it runs, and whether it serves."""

from collections.abc import Mapping

from infra.backends.data_directory import Data, refuse_other
from infra.backends.protocol import Backend, Operation, Server
from infra.commands.doctor.findings import Finding, Findings, failed, ok, warn
from infra.config.endpoints import HOST, role_url
from infra.config.errors import CredentialsRefused, StackError
from infra.config.identity import Project, Service
from infra.config.record import Record
from infra.config.settings import Role, Settings
from infra.declaration.spec import StackSpec
from infra.stack.ports import choose_ports


def examine_ports(
    found: Findings, spec: StackSpec, record: Record | None, servers: Mapping[Service, Server]
) -> StackSpec | None:
    """Choose the ports as `up` does; return the spec with them, None where a declared one is taken."""
    said: list[str] = []
    remembered = record.ports if record else {}
    ports = found.attempt("port", lambda: choose_ports(spec, remembered, servers, said.append))
    for line in said:
        found.add(warn("port", line, "`invoke up` takes whichever is free then"))
    if ports is None:
        return None
    for service, port in ports.items():
        found.add(ok("port", f"{service} {HOST}:{port} ({port_source(spec, service, port, remembered, servers)})"))
    return spec.on_ports(ports)


def port_source(
    spec: StackSpec, service: Service, port: int, remembered: Mapping[Service, int], servers: Mapping[Service, Server]
) -> str:
    """Say why a port is the one chosen."""
    if service in servers and servers[service].port == port:
        return "this stack's server has it"
    if spec.port(service) is not None:
        return "declared, and free"
    return "remembered, and free" if remembered.get(service) == port else "free"


def judged_data(data: Data | None, version: int) -> Finding:
    """Judge what PostgreSQL's data says of itself, where the stack runs `version`."""
    if data is None:
        return ok("data", "there is none yet")
    try:
        refuse_other(Service.POSTGRES, data, version)
    except StackError as error:
        return failed("data", error)
    if data.complete and data.version:
        return ok("data", f"{data.where}: PostgreSQL {data.version}, complete")
    return warn("data", f"{data.where}: its first start was never finished", "`invoke up` makes it again")


def examine_serving(
    found: Findings,
    settings: Settings,
    backend: Backend,
    spec: StackSpec,
    *,
    servers: Mapping[Service, Server],
    operations: tuple[Operation, ...],
    proven: bool,
) -> None:
    """Send one probe to each server, as `up` does; what `up` would start again is not asked."""
    for service in (declared.service for declared in spec.containers):
        pending = [step for step in operations if step.title.endswith(service)]
        if service not in servers:
            found.add(ok(service, "is down; `invoke up` starts it"))
        elif pending:
            found.add(ok(service, f"runs, and `invoke up` would {pending[0]} (`invoke plan` shows all)"))
        else:
            found.add(_probed(service, servers, settings, backend, project=spec.project, proven=proven))


def _probed(
    service: Service,
    servers: Mapping[Service, Server],
    settings: Settings,
    backend: Backend,
    *,
    project: Project,
    proven: bool,
) -> Finding:
    from infra.stack.probes import NotReady, probe_postgres, probe_product, probe_redis

    ports = {each: server.port for each, server in servers.items()}
    try:
        if service == Service.POSTGRES:
            probe_postgres(role_url(settings, ports, Role.USER), project.id, settings.postgres_version)
        elif service != Service.REDIS:
            probe_product(backend.health(service), service, ports[service])
        else:
            probe_redis(ports[service], settings.redis_password, settings.redis_version)
    except CredentialsRefused as error:
        return judged_refusal(service, error, proven=proven)
    except NotReady as error:
        return failed(service, StackError(f"{error}. Start it again with `invoke down` and `invoke up`."))
    except StackError as error:
        return failed(service, error)
    server = servers[service]
    serves = f"serves at {HOST}:{server.port} ({server.description}, since {server.since:%Y-%m-%d %H:%M:%S} UTC)"
    if service == Service.POSTGRES and not proven:
        return warn(
            service,
            f"{serves}; its roles, rights, passwords or the code that prepares them changed since `up` proved it",
            "`invoke up` puts the roles and their rights right",
        )
    return ok(service, serves)


def judged_refusal(service: Service, error: CredentialsRefused, *, proven: bool) -> Finding:
    """Judge a server that refuses the application: what `up` has not proven yet, it puts right."""
    if not proven:
        return warn(service, str(error).partition(". ")[0], "`invoke up` gives it the roles and passwords of .env")
    return failed(
        service,
        StackError(
            f"{str(error).partition('. ')[0]}, although it was proven to serve. Somebody changed the role: `invoke "
            "down` and `invoke up` put it right."
        ),
    )
