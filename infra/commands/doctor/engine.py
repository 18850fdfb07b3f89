"""The container engine: where its address comes from, what it is, and where the images are to come from."""

from pathlib import Path

from infra.commands.doctor.findings import Findings, Level, failed, ok, warn
from infra.commands.doctor.machine import examine_disk
from infra.config.errors import EngineUnavailable, ImageUnavailable
from infra.config.identity import Project
from infra.config.settings import BackendChoice
from infra.declaration.spec import StackSpec
from infra.images.names import STAND_INS
from infra.stack.lifecycle import make_backend


def examine_engine(found: Findings, project: Project, *, needed: bool) -> None:
    """Ask the engine that `up` would use; where it is not needed, its absence is only said."""
    level = Level.FAIL if needed else Level.WARN
    try:
        make_backend(BackendChoice.DOCKER, project)
        from infra.backends.docker.about import about_engine

        engine = about_engine()
    except EngineUnavailable as error:
        found.add(
            ok("engine", _first_sentence(error)) if error.absent and not needed else failed("engine", error, level)
        )
        return
    found.add(
        ok(
            "engine",
            f"{engine.endpoint.url} (from {engine.endpoint.source}) answers: version {engine.version}, API "
            f"{engine.api_low} to {engine.api_high}, {engine.api_used} in use",
        )
    )
    root = Path(engine.root)
    if needed and engine.root and engine.endpoint.url.startswith("unix://") and root.exists():
        found.add(examine_disk("the engine's volumes", root))


def examine_images(found: Findings, spec: StackSpec, *, or_else: bool) -> bool:
    """Say where each image would come from; with `or_else` plain processes would serve without them.

    Returns whether all are to be had.
    """
    from infra.backends.docker.about import image_source

    complete = True
    for image in dict.fromkeys(declared.image for declared in spec.containers):
        source = found.attempt("image", lambda image=image: image_source(image))  # type: ignore[misc]
        if source is None:
            return False
        if not source.missing:
            stand_in = "the stand-in " if source.wanted in STAND_INS.values() else ""
            found.add(ok("image", f"{stand_in}{source.wanted} is {source.where}"))
            continue
        complete = False
        error = _missing(source.wanted, source.missing)
        found.add(
            warn("image", _first_sentence(error), "`invoke up` takes plain processes instead")
            if or_else
            else failed("image", error)
        )
    return complete


def _missing(image: str, reason: str) -> ImageUnavailable:
    return ImageUnavailable(
        f"The image {image} is not on this machine, and the registry does not offer it: {reason.rstrip('.')}. Load it "
        "with `docker load -i`, build a stand-in with `invoke build-images`, name another with POSTGRES_IMAGE or "
        "REDIS_IMAGE, or set STACK_BACKEND=embedded.",
        reason=reason,
    )


def _first_sentence(error: Exception) -> str:
    return str(error).partition(". ")[0].rstrip(".")
