"""The commands: each parses, calls one function and prints. `invoke --list` names them."""

import functools
import shlex
import signal
import sys
from collections.abc import Callable
from json import dumps
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from infra.endpoints import HOST, redis_url, role_url
from infra.errors import InfraError
from infra.settings import CHECKOUT, Role, Settings, write_env_file
from infra.spec import Project, Service
from schema.errors import SchemaError

if TYPE_CHECKING:
    from infra.readiness import Preparation
    from infra.stack import Stack
    from infra.urls import DatabaseUrl

Command = TypeVar("Command", bound=Callable[..., None])


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _terminated(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)


def command(**help_texts: str) -> Callable[[Command], Command]:
    """Make a function a task whose expected errors are one paragraph on stderr and an exit code."""

    def decorate(function: Command) -> Command:
        @functools.wraps(function)
        def run(*arguments: Any, **options: Any) -> None:
            # As an exception, so that what an interrupted command has begun is taken back.
            signal.signal(signal.SIGTERM, _terminated)
            try:
                function(*arguments, **options)
            except (InfraError, SchemaError) as error:
                raise Exit("\n".join((str(error), *getattr(error, "__notes__", ()))), error.exit_code) from None
            except KeyboardInterrupt:
                raise Exit("interrupted", 128 + signal.SIGINT) from None

        made: Any = task(run, help=help_texts)
        return made  # type: ignore[no-any-return]  # a task is called as its function is, which its type does not say

    return decorate


def _project() -> Project:
    return Project.of(CHECKOUT)


def _preparation() -> "Preparation":
    from infra.readiness import Preparation

    def prepare(admin: "DatabaseUrl", settings: Settings) -> None:
        from schema import roles

        roles.ensure(admin, settings)

    return Preparation(prepare, CHECKOUT / "schema" / "roles.py")


@command()
def up(_: Context) -> None:
    """Start PostgreSQL and Redis and wait until they serve; do nothing where they do."""
    from infra import stack

    if write_env_file(CHECKOUT):
        _say("wrote .env with generated passwords (mode 0600)")
    settings = Settings.load()
    _print_stack(stack.up(settings, _project(), _preparation(), _say), settings)


@command(volumes="Remove the data as well; asks first.", yes="Answer that question with yes.")
def down(_: Context, volumes: bool = False, yes: bool = False) -> None:
    """Stop the servers and keep their data."""
    from infra import stack

    if volumes and not yes:
        _confirm(f"Remove all data of the stack {_project().id}?")
    stopped = stack.down(_project(), _say, volumes=volumes)
    print(
        "stopped" if stopped.operations else "nothing ran", "and all data removed" if volumes else "; the data is kept"
    )


@command(json="Print JSON, for programs.")
def status(_: Context, json: bool = False) -> None:
    """Show what runs, where and since when."""
    from infra import stack

    current = stack.status(_project())
    if json:
        print(dumps(_described(current), indent=2))
    elif not current.servers:
        print(f"{current.project.id}: nothing runs; `invoke up` starts it")
    else:
        _print_stack(current, Settings.load())


@command()
def compose(_: Context) -> None:
    """Print the stack as a compose file; secrets are named, not shown."""
    from infra.compose import render_compose
    from infra.spec import build_stack

    print(render_compose(build_stack(Settings.load(), _project())), end="")


@command(force="Build them anew, base included.")
def build_images(_: Context, force: bool = False) -> None:
    """Build stand-ins for the stack's images, where no registry can be reached."""
    from infra.docker_backend.engine import connect, find_endpoint
    from infra.images.build import build

    for reference in build(connect(find_endpoint()), progress=_say, force=force):
        print(reference)


@command(message="What the migration does, in a few words; becomes its file's name.")
def generate(_: Context, message: str) -> None:
    """Write a migration from the difference between models and migrations."""
    from infra.endpoints import database_url
    from schema import migrate

    settings = Settings.load()
    path = migrate.generate(database_url(settings, Role.OWNER), settings, message)
    print(path.relative_to(CHECKOUT) if path else "nothing changed: the migrations make what the models declare")


@command()
def migrate(_: Context) -> None:
    """Apply the migrations that are pending."""
    from infra.endpoints import database_url
    from schema import migrate

    settings = Settings.load()
    done = migrate.upgrade(database_url(settings, Role.OWNER), settings)
    for step in done.applied:
        print(f"applied {step.revision} {step.title} ({step.milliseconds:.0f} ms)")
    print(f"at {done.head}" if done.applied else f"nothing to do: at {done.head}")


@command()
def lint(context: Context) -> None:
    """Run every static check: format, lint, types, layers."""
    # The tools of this very environment, whether or not it is activated.
    tools = shlex.quote(str(Path(sys.executable).parent))
    for check in ("ruff format --check .", "ruff check .", "mypy", "lint-imports"):
        _say(f"$ {check}")
        context.run(f"{tools}/{check}")


@command(options="Options for pytest, as one string.")
def test(context: Context, options: str = "") -> None:
    """Run the tests on the stack that they bring up for themselves."""
    context.run(f"{sys.executable} -m pytest {options}".rstrip(), pty=sys.stdout.isatty())


@command(output="The file for the figures.", rounds="How often each case is timed.")
def bench(context: Context, output: str = "bench.json", rounds: int = 7) -> None:
    """Time the commands against their peers, interleaved; write medians and spread as JSON."""
    context.run(f"{sys.executable} -m tests.benchmarks --rounds {rounds} --output {shlex.quote(output)}")


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise Exit(f"{question} Nobody can answer here: repeat the command with --yes.", 1)
    if input(f"{question} [y/N] ").strip().lower() not in {"y", "yes"}:
        raise Exit("nothing was changed", 1)


def _described(current: "Stack") -> dict[str, Any]:
    return {
        "project": current.project.id,
        "backend": current.backend,
        "services": {
            service: {"host": HOST, "port": server.port, "since": server.since.isoformat(), "runs": server.what}
            for service, server in current.servers.items()
        },
    }


def _print_stack(current: "Stack", settings: Settings) -> None:
    """Print where the servers answer, without passwords."""
    urls = {
        Service.POSTGRES: str(role_url(settings, current.ports, Role.USER)),
        Service.REDIS: redis_url(current.ports),
    }
    for service, server in current.servers.items():
        since = f"{server.since.astimezone():%Y-%m-%d %H:%M:%S}"
        print(f"{service:9} {urls[service]}  ({current.backend}, {server.what}, since {since})")
