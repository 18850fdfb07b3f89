"""The archive that the engine's new volumes are filled from."""

from pathlib import Path

from infra.backends.docker.images import image_id
from infra.backends.docker.template import template_path
from infra.config.identity import state_directory
from infra.declaration.spec import build_stack
from infra.images.names import STAND_INS
from tests.kit.checkout import Checkout
from tests.kit.world import engine


def archive_of(checkout: Checkout) -> Path:
    """Return where the archive is, or would be, that a first `up` of this checkout fills its volume from."""
    declared = build_stack(checkout.settings, checkout.project).containers[0]
    with engine() as client:
        image = image_id(client, declared.image) or image_id(client, STAND_INS[declared.image])
    assert image is not None
    return template_path(declared, image, state_directory(checkout.project).parent / "templates")


def password_beside(archive: Path) -> Path:
    """Return where the password is that the superuser has in an archive."""
    return archive.with_suffix(".password")


def forget_archive(checkout: Checkout) -> None:
    """Remove the archive, and what a test has put in its place."""
    archive = archive_of(checkout)
    if archive.is_dir():
        archive.rmdir()
    archive.unlink(missing_ok=True)
    password_beside(archive).unlink(missing_ok=True)
