"""The product's own commands: `infra/product/tasks.py`, which is loaded by its name here and imported nowhere else."""

import inspect
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from invoke.collection import Collection

from infra.commands import cli
from infra.config.product_module import explain, load_module, place

MODULE = "infra.product.tasks"


def add_commands(ours: Collection) -> None:
    """Add the product's commands to the ground's; where one of them cannot be had, say why on stderr and add none.

    The ground's commands work all the same: a stack can be stopped while a task is being written.
    """
    try:
        theirs = _load()
        taken = sorted(_taken(ours, theirs))
    except (Exception, SystemExit) as error:  # whatever the module does at its import
        cli.say(cli.printable(_explained(error)))
        return
    if taken:
        cli.say(taken[0])
        return
    for name, task in theirs.tasks.items():
        # A bare `invoke` lists the commands, whatever the product's default is.
        ours.add_task(task, name=name, aliases=(*theirs.task_names[name],), default=False)
    for name, collection in theirs.collections.items():
        if collection:  # an empty one, which may have any name, holds no command
            ours.add_collection(collection, name=name)


def _load() -> Collection:
    """Return the product's tasks, each with errors like those of the ground's; none where there is no module."""
    module = load_module("tasks")
    if module is None:
        return Collection()
    tasks = Collection.from_module(module)
    # What Invoke would refuse at every command is refused now. Of a copy: a task gives its help texts away once.
    deepcopy(tasks).to_contexts()
    for name in tasks.task_names:
        task: Any = tasks[name]
        task.body = cli.reporting(task.body)
    return tasks


def _taken(ours: Collection, theirs: Collection) -> Iterator[str]:
    """Yield an error for each of the product's commands that has a name of the ground's.

    A command that was imported from the ground, as `pre=[up]` asks for, is itself.
    """
    for name, aliases in theirs.task_names.items():
        function = inspect.unwrap(theirs[name].body)
        for each in (name, *aliases):
            first = each.partition(".")[0]
            if first in ours.tasks and inspect.unwrap(ours.tasks[first].body) is not function:
                where = place(function.__code__.co_filename, function.__code__.co_firstlineno)
                yield (
                    f"{where}: the command `{first}` is one of the ground's, "
                    f"and the product's commands cannot be used. Rename yours, for example to `product-{first}`."
                )


def _explained(error: BaseException) -> str:
    """Return in one paragraph why the product's module could not be loaded, where, and what to do."""
    where, reason = explain(error, "tasks")
    advice = "Correct it there; the ground's commands work meanwhile."
    if isinstance(error, ModuleNotFoundError):
        advice = (
            "Where that is a package, add it to `product` at the end of pyproject.toml and repeat the README's "
            "first line; the ground's commands work meanwhile."
        )
    return f"{where}: the product's commands cannot be used: {reason}. {advice}"
