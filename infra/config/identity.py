"""Which stack is meant: the project of a checkout, its folder of state, and the names of its servers."""

import hashlib
import os
import re
from pathlib import Path
from typing import ClassVar, NamedTuple

from infra.config.errors import StackError

# What a product may call a server: as a part of a host name (RFC 1123, 2.1).
SERVICE_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
# Before the names of the product's servers where ours have none: `redis` and the product's `cache` are never confused.
_PRODUCT = "product-"


class Service(str):
    """The name of a server of the stack: one of ours, or one that the product declares.

    Where a server answers on more than one port, each further port has a name of its own, `mail:8025`.
    """

    __slots__ = ()
    POSTGRES: ClassVar["Service"]
    REDIS: ClassVar["Service"]

    @property
    def object_name(self) -> str:
        """The name of the server's container, volume or folder, after that of the project."""
        return str(self) if self in OUR_SERVICES else f"{_PRODUCT}{self}"

    @property
    def port_setting(self) -> str:
        """The key of the setting that fixes the port: POSTGRES_PORT, or MAIL_PORT_8025 for a further one."""
        name, _, number = self.upper().replace("-", "_").partition(":")
        return f"{name}_PORT_{number}" if number else f"{name}_PORT"

    def further(self, number: int) -> "Service":
        """Return the name of one of the server's further ports, by its number in a container."""
        return Service(f"{self}:{number}")


Service.POSTGRES, Service.REDIS = Service("postgres"), Service("redis")
OUR_SERVICES = (Service.POSTGRES, Service.REDIS)


def service_of(object_name: str) -> Service | None:
    """Return the server whose container, volume or folder is called so after the project; None for no server's."""
    if object_name in OUR_SERVICES:
        return Service(object_name)
    name = object_name.removeprefix(_PRODUCT)
    return Service(name) if name != object_name and SERVICE_NAME.fullmatch(name) else None


class Project(NamedTuple):
    """Which checkout a stack belongs to: the id is on every container, volume and folder, and is the cluster_name."""

    id: str
    path: str

    @classmethod
    def of(cls, checkout: Path, purpose: str = "") -> "Project":
        """Name the project of a checkout by its folder's name and a hash of its real path.

        `purpose` sets a further stack of the same checkout apart, as the tests' own.
        """
        path = str(checkout.resolve())
        slug = re.sub(r"[^a-z0-9]+", "-", checkout.resolve().name.lower()).strip("-")[:30] or "checkout"
        identity = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        return cls("-".join(filter(None, (slug, identity, purpose))), path)


ROOT_STATE = Path("/var/lib/groundwork")


def state_directory(project: Project) -> Path:
    """Return the folder that holds the record, the lock and, for embedded servers, the data; it need not exist.

    It lies outside the checkout, so that no tidying of the checkout takes it along. For root it is below /var/lib,
    because the servers run as another user, who cannot read below a home of mode 0700; otherwise in the XDG state
    folder (XDG Base Directory Specification).
    """
    if os.geteuid() == 0:
        return ROOT_STATE / project.id
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "groundwork" / project.id


# As `Project.of` makes it; the purpose of a further stack is never adopted.
_ID = re.compile(r"[a-z0-9-]+-[0-9a-f]{8}")


def project_at(checkout: Path) -> Project:
    """Return the project of a checkout: the one that it adopted, else its own.

    Raises:
        StackError: what is noted of the adopted project names none: what acts on it would act on somebody else's.
    """
    own = Project.of(checkout)
    try:
        adopted = adoption_note(own).read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return own
    if _ID.fullmatch(adopted) is None:
        raise StackError(
            f"{adoption_note(own)} does not name the stack that this checkout adopted, as the name and hash of the "
            "checkout that it was made for. Nothing was started or changed. Remove that file and run "
            "`invoke up --adopt` again.",
            file=adoption_note(own),
        )
    return own._replace(id=adopted)


def adoption_note(own: Project) -> Path:
    """Return the file that names the project which a checkout adopted."""
    return state_directory(own) / "adopted"
