"""Recognise a checkout that was moved, and let it keep its stack.

A project is named by its checkout's path, so a moved checkout is another project. Its former one is known by its name
and by the path on record, where no checkout is any more. A copied checkout's original is still there, so a copy gets a
stack of its own.
"""

from collections.abc import Callable
from pathlib import Path

from infra.config.errors import StackError
from infra.config.files import write_atomically
from infra.config.identity import Project, adoption_note, project_at, state_directory
from infra.config.record import Record


def resolve_project(
    checkout: Path, *, adopt: bool, new: bool, ask: Callable[[str], bool] | None, say: Callable[[str], None]
) -> Project:
    """Return the project that `up` works on; let a moved checkout take its former stack over.

    `adopt` and `new` answer the question beforehand; `ask` puts it to a person, and is None where there is nobody.

    Raises:
        StackError: there is a former stack and no answer, or more than one to choose from, or none to adopt.
    """
    project = project_at(checkout)
    if new or Record.load(project) is not None:
        return project
    former = _former(project, say)
    if not former:
        if adopt:
            raise StackError("There is no stack to adopt: none was left by a checkout of this name that is gone.")
        return project
    if len(former) > 1:
        raise StackError(
            f"More than one stack was left by checkouts of this name: {', '.join(map(_describe, former))}. Move this "
            "checkout back to the path of the one that is meant, or start a new stack with `invoke up --new`."
        )
    if not adopt:
        question = f"This checkout seems to have been moved here: {_describe(former[0])} holds data."
        if ask is None:
            raise StackError(
                f"{question} Nothing was started. Take it over with `invoke up --adopt`, or start a new stack with "
                "`invoke up --new`."
            )
        if not ask(f"{question} Take it over?"):
            return project
    adoption_note(project).parent.mkdir(parents=True, exist_ok=True)
    write_atomically(adoption_note(project), f"{former[0].id}\n", durable=True)
    say(f"adopted {_describe(former[0])}")
    return project._replace(id=former[0].id)


def forget_adoption(project: Project) -> None:
    """Forget that a checkout adopted `project`."""
    own = Project.of(Path(project.path))
    if own.id != project.id and adoption_note(own).exists():
        adoption_note(own).unlink()


def _former(project: Project, say: Callable[[str], None]) -> list[Project]:
    """Return the projects of checkouts of the same name whose folder is gone.

    A damaged record is reported and left out: it may be of a checkout that this one has nothing to do with.
    """
    name = project.id.rpartition("-")[0]
    found = []
    for record_file in sorted(state_directory(project).parent.glob(f"{name}-????????/state.json")):
        candidate = Project(record_file.parent.name, "")
        try:
            record = Record.load(candidate)
        except StackError as error:
            say(str(error))
            continue
        if record is not None and not Path(record.path).exists():
            found.append(candidate._replace(path=record.path))
    return found


def _describe(project: Project) -> str:
    return f"the stack {project.id} of {project.path}"
