"""What is remembered of a project's stack between two commands: the record in its folder of state."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from infra.config.errors import StackError
from infra.config.files import write_atomically
from infra.config.identity import Project, Service, state_directory
from infra.config.settings import BackendChoice


@dataclass(frozen=True, slots=True)
class Record:
    """What the last successful `up` recorded.

    `endpoint` and `engine` are the address and the id of the container engine that holds the stack, empty for plain
    processes. `proven` holds, for each service, which start of which server was proven to serve, and with which
    configuration; a server that is still the same needs no new proof. `data` names the data that was complete then, and
    `superuser` that it knew. `stopping` is set while a command stops servers: where that was interrupted, a server that
    answers may be about to end. `left_out` are the servers that the backend cannot run, each with the reason,
    `extensions` those of PostgreSQL that were seen to be there in its image or program.
    """

    backend: BackendChoice
    path: str
    ports: dict[Service, int]
    proven: dict[Service, str] = field(default_factory=dict)
    images: dict[Service, str] = field(default_factory=dict)
    superuser: str = ""
    data: str = ""
    endpoint: str = ""
    engine: str = ""
    stopping: bool = False
    left_out: dict[Service, str] = field(default_factory=dict)
    extensions: tuple[str, ...] = ()

    @classmethod
    def load(cls, project: Project) -> "Record | None":
        """Return the record of `project`, None where there is none.

        Raises:
            StackError: the record cannot be read.
        """
        path = _path(project)
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                backend=BackendChoice(stored["backend"]),
                path=stored["path"],
                ports={Service(name): int(port) for name, port in stored["ports"].items()},
                proven={Service(name): proof for name, proof in stored["proven"].items()},
                images={Service(name): image for name, image in stored["images"].items()},
                superuser=stored.get("superuser", ""),
                data=stored.get("data", ""),
                endpoint=stored.get("endpoint", ""),
                engine=stored.get("engine", ""),
                stopping=stored.get("stopping", False),
                left_out={Service(name): reason for name, reason in stored.get("left_out", {}).items()},
                extensions=tuple(stored.get("extensions", ())),
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise StackError(
                f"The stack's record {path} cannot be read ({type(error).__name__}). It holds no data: move it away "
                "and run `invoke up`, which finds the stack by its labels.",
                file=path,
            ) from None

    def save(self, project: Project) -> None:
        """Write the record whole or not at all, also where the power is cut."""
        path = _path(project)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(asdict(self), indent=2) + "\n", durable=True)


def forget(project: Project) -> None:
    """Remove the record, and what `generate` remembers."""
    drafts = state_directory(project).glob("*.json.*.tmp")  # of commands that were killed
    for path in (_path(project), comparison_note(project), dump_file(project), *drafts):
        path.unlink(missing_ok=True)


def comparison_note(project: Project) -> Path:
    """Return the file in which `generate` remembers that nothing had changed."""
    return state_directory(project) / "generated.json"


def dump_file(project: Project) -> Path:
    """Return the file that holds PostgreSQL's data while it is taken along to another version."""
    return state_directory(project) / "upgrade.sql"


def _path(project: Project) -> Path:
    return state_directory(project) / "state.json"


def unusable(folder: Path, reason: str | None) -> StackError:
    """Return the error of a state folder that cannot be written."""
    return StackError(
        f"The state folder {folder} cannot be used: {reason}. Make it writable for you, or set XDG_STATE_HOME to a "
        "folder that is.",
        file=folder,
    )
