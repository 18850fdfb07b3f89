"""What of this machine the timed stacks use: ports that are free, images that are here, containers and networks."""

from infra.config.identity import Project, Service
from infra.config.settings import Settings
from infra.declaration.spec import StackSpec, build_stack
from infra.stack.ports import choose_ports


def free_ports(settings: Settings, project: Project) -> dict[Service, int]:
    """Return ports that nobody uses, never the standard ones, which may be those of a stack at work."""
    return choose_ports(build_stack(settings, project, durable=False), {}, {}, _unheard)


def with_local_images(spec: StackSpec) -> StackSpec:
    """Return `spec` with images of this machine, so that no sample holds an attempt to pull."""
    from infra.backends.docker.backend import DockerBackend
    from infra.images.names import stand_in_of

    stand_ins = {c.service: found for c in spec.containers if (found := stand_in_of(c.image)) is not None}
    return DockerBackend(spec.project).resolve(spec, stand_ins, None, _unheard)


def remove_all_but_data(project: Project) -> None:
    """Remove a project's containers and networks from the engine, and leave it its volumes."""
    from infra.backends.docker.apply import apply_down
    from infra.backends.docker.engine import connect, find_endpoint
    from infra.backends.docker.observe import observe
    from infra.backends.docker.plan import Verb, plan_down

    client = connect(find_endpoint())
    everything = plan_down(observe(client, project.id), volumes=True)
    apply_down(client, (step for step in everything if step.verb != Verb.REMOVE_VOLUME))


def _unheard(_: str) -> None:
    pass
