"""What of this machine the timed stacks use: ports that are free, images that are here."""

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


def _unheard(_: str) -> None:
    pass
