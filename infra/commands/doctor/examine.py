"""Go through all that `up` needs, in the order in which `up` comes upon it. Changes nothing."""

from dataclasses import dataclass, replace
from pathlib import Path

from infra.backends.protocol import Backend
from infra.commands.doctor.engine import examine_engine, examine_images
from infra.commands.doctor.env_file import examine_env_file, settings_of
from infra.commands.doctor.findings import Finding, Findings, exit_code, failed, ok, warn
from infra.commands.doctor.machine import (
    examine_compose,
    examine_disk,
    examine_programs,
    examine_shared_memory,
    examine_state_folder,
)
from infra.commands.doctor.servers import examine_ports, examine_serving, judged_data
from infra.config.errors import EngineUnavailable, InfraError
from infra.config.identity import Project, Service, state_directory
from infra.config.record import Record
from infra.config.settings import BackendChoice, Settings
from infra.declaration.spec import StackSpec
from infra.stack.adoption import resolve_project
from infra.stack.declared import UNSET, declare_stack
from infra.stack.lifecycle import choose, is_proven
from infra.stack.locks import lock_holder, undisturbed
from infra.stack.readiness import Preparation


def examine(checkout: Path, project: Project, prepare: Preparation) -> tuple[Finding, ...]:
    """Return what was found; `up` would succeed where none of it is a failure."""
    found = Findings()
    found.add(*examine_env_file(checkout))
    settings = found.attempt("settings", lambda: settings_of(checkout))
    declared = found.attempt("settings", lambda: declare_stack(settings, project, or_else=UNSET)) if settings else None
    found.add(examine_state_folder(project))
    # With nobody to ask: a checkout that was moved is asked about where `up` is run.
    found.attempt("checkout", lambda: resolve_project(checkout, adopt=False, new=False, ask=None, say=lambda _: None))
    record = found.attempt("record", lambda: Record.load(project))
    stack = None
    if settings and declared and not exit_code(found):  # where `up` has ended by now, nothing is chosen
        stack = _choose(found, settings, declared, record)
    _examine_machine(found, project, settings, stack.backend.choice if stack else None)
    if settings and stack:
        _examine_servers(found, settings, stack, record, prepare)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Chosen:
    backend: Backend
    spec: StackSpec


def _choose(found: Findings, settings: Settings, declared: StackSpec, record: Record | None) -> _Chosen | None:
    """Choose the backend as `up` does, and see whether its images are to be had."""
    said: list[str] = []
    try:
        backend, spec = choose(settings, declared, record, said.append, fetch=False)
    except EngineUnavailable as error:
        found.add(failed("engine", error))
        return None
    except InfraError as error:
        found.add(failed("backend", error))
        return None
    found.add(ok("backend", said[0].removeprefix("backend: ").partition(";")[0] if said else _why(backend, record)))
    if backend.choice is BackendChoice.DOCKER:
        or_else = settings.stack_backend is BackendChoice.AUTO and record is None
        if not examine_images(found, spec, or_else=or_else) and or_else:
            return _choose(found, replace(settings, stack_backend=BackendChoice.EMBEDDED), declared, record)
    for service, reason in spec.left_out:
        found.add(warn("services", f"{service} is left out: {reason}", "Install it, or use the other backend"))
    return _Chosen(backend, spec)


def _why(backend: Backend, record: Record | None) -> str:
    return f"{backend.choice} ({'on record for this checkout' if record else 'STACK_BACKEND or existing data'})"


def _examine_machine(
    found: Findings, project: Project, settings: Settings | None, choice: BackendChoice | None
) -> None:
    if not any(finding.subject == "engine" for finding in found):  # one that did not answer is not asked again
        examine_engine(found, project, needed=choice is BackendChoice.DOCKER)
    found.add(examine_compose())
    if settings is not None:
        examine_programs(found, settings, needed=choice is BackendChoice.EMBEDDED)
    found.add(examine_disk("the stack's state", state_directory(project)), examine_shared_memory())


def _examine_servers(
    found: Findings, settings: Settings, stack: _Chosen, record: Record | None, prepare: Preparation
) -> None:
    project, servers = stack.spec.project, stack.backend.servers()
    spec = examine_ports(found, stack.spec, record, servers)
    if lock_holder(project) is not None:
        return  # what another command is changing cannot be judged
    with undisturbed(project, lambda _: None):
        data = found.attempt("data", lambda: stack.backend.data(stack.spec))
        found.add(judged_data(data, settings.postgres_version))
        if Service.REDIS not in servers:
            found.attempt("data", lambda: stack.backend.refuse_damaged_redis(stack.spec))
        if spec is None or exit_code(found):
            return
        operations = found.attempt("plan", lambda: stack.backend.plan(spec))
    if operations is not None:
        proven = is_proven(record, servers, settings, prepare)
        examine_serving(found, settings, stack.backend, spec, servers=servers, operations=operations, proven=proven)
