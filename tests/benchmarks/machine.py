"""What of this machine the timed stacks use: ports that are free, images that are here, containers and networks."""

from infra.ports import choose_ports
from infra.settings import Settings
from infra.spec import Project, Service, StackSpec, build_stack


def free_ports(settings: Settings, project: Project) -> dict[Service, int]:
    """Return ports that nobody uses, never the standard ones, which may be those of a stack at work."""
    return choose_ports(build_stack(settings, project, durable=False), {}, {}, _unheard)


def with_local_images(spec: StackSpec) -> StackSpec:
    """Return `spec` with images of this machine, so that no sample holds an attempt to pull."""
    from infra.docker_backend.backend import DockerBackend
    from infra.images.names import stand_in_of

    stand_ins = {c.service: found for c in spec.containers if (found := stand_in_of(c.image)) is not None}
    return DockerBackend(spec.project).resolve(spec, stand_ins, None, _unheard)


def remove_all_but_data(project: Project) -> None:
    """Remove a project's containers and networks from the engine, and leave it its volumes."""
    from infra.docker_backend.apply import apply_down
    from infra.docker_backend.engine import connect, find_endpoint
    from infra.docker_backend.observe import observe
    from infra.docker_backend.plan import Verb, plan_down

    client = connect(find_endpoint())
    everything = plan_down(observe(client, project.id), volumes=True)
    apply_down(client, (step for step in everything if step.verb != Verb.REMOVE_VOLUME))


def _unheard(_: str) -> None:
    pass
