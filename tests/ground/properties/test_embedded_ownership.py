"""Whatever a user puts in the folders of plain processes between commands, no command replaces or removes it.

The backend's own code runs on real folders; only the servers' programs are modelled, since their processes are not
what is claimed here.
"""

import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import mkdtemp
from unittest.mock import Mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from infra.backends.data_directory import APPEND_ONLY, CONTROL_FILE
from infra.backends.embedded import backend as backend_module
from infra.backends.embedded import postgres, process
from infra.backends.embedded.backend import EmbeddedBackend
from infra.backends.embedded.binaries import PostgresBinaries, Programs
from infra.backends.embedded.folder import is_made_by_up
from infra.config.errors import StackError
from infra.config.identity import OUR_SERVICES, Service
from tests.ground.unit.test_spec import declared
from tests.kit.engine_user import CONTENTS, a_cluster

services = st.sampled_from(OUR_SERVICES)
contents = st.sampled_from(sorted(CONTENTS))


class Killed(BaseException):
    """The command was killed: nothing is taken back."""


class OnFolders(RuleBasedStateMachine):
    """`up` and `down`, and a user who restores, wipes and keeps things beside the data."""

    @initialize()
    def begin(self) -> None:
        """Begin with a state folder that is not there."""
        self.root = Path(mkdtemp())
        self.theirs: dict[Path, bytes] = {}
        self._patch = pytest.MonkeyPatch()
        self._patch.setattr(backend_module, "state_directory", lambda _: self.root / "project")
        self._patch.setattr(process.Account, "for_servers", lambda: None)
        self._patch.setattr(
            backend_module, "find_programs", lambda *_: Programs(PostgresBinaries(self.root), "redis-server")
        )
        self._patch.setattr(EmbeddedBackend, "_start", lambda *_: self.started())
        self._patch.setattr(postgres, "_template", self._template)
        self._patch.setattr(postgres, "run", self._copy)
        self.started: Callable[[], None] = lambda: None
        self.copied: Callable[[], None] = lambda: None

    def teardown(self) -> None:
        """Remove the folder."""
        self._patch.undo()
        shutil.rmtree(self.root)

    def _template(self, *_: object) -> Path:
        template = self.root / "template"
        for name, content in a_cluster("ours").items():
            (template / name).parent.mkdir(parents=True, exist_ok=True)
            (template / name).write_bytes(content)
        return template

    def _copy(self, command: tuple[str, ...], directory: Path, *_: object, **__: object) -> None:
        if command[0] == "cp":
            self.copied()
            shutil.copytree(self.root / "template", directory, dirs_exist_ok=True)

    def _up(self) -> None:
        self._give_up_unfinished()
        backend = EmbeddedBackend(declared().project)
        with ExitStack() as undo:
            try:
                backend.up(declared(), undo)
                backend.confirm(declared())
            except Killed:
                undo.pop_all()
                raise
            undo.pop_all()

    @rule()
    def up(self) -> None:
        """Bring the stack up on what is there, or refuse."""
        with suppress(StackError):
            self._up()
            for service, needed in (Service.POSTGRES, {CONTROL_FILE}), (Service.REDIS, {APPEND_ONLY[0]}):
                data = self._data(service)
                mine = {str(path.relative_to(data)) for path in self.theirs if path.is_relative_to(data)}
                assert is_made_by_up(data) or mine & needed or not mine
        self._require_all_kept()

    @rule(where=st.sampled_from(["started", "copied"]), killed=st.booleans())
    def failing_up(self, where: str, killed: bool) -> None:
        """Fail, or be killed, where a server is started or its data is copied."""
        setattr(self, where, Mock(side_effect=Killed if killed else StackError("refused for the test")))
        with suppress(StackError, Killed):
            self._up()
        self.started = self.copied = lambda: None
        self._require_all_kept()

    @rule(volumes=st.booleans())
    def down(self, volumes: bool) -> None:
        """Take the stack down; what `up` made is given up with its volumes, and what is left is told."""
        backend = EmbeddedBackend(declared().project)
        if volumes:
            for service in filter(lambda each: is_made_by_up(self._data(each)), OUR_SERVICES):
                self._forget(self._data(service))
        backend.down(volumes=volumes)
        if volumes:
            left = {path.relative_to(self.root / "project").parts[0] for path in self.theirs}
            assert {Path(command.split()[-1]).name for command in backend.removal_commands()} == left
        self._require_all_kept()

    @rule(service=services, content=contents, beside=st.booleans())
    def put(self, service: Service, content: str, beside: bool) -> None:
        """Put files into a server's data or beside it, over what is there."""
        folder = self._data(service).parent / "backup" if beside else self._data(service)
        for name, text in CONTENTS[content].items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(text)
            self.theirs[folder / name] = text

    @rule(service=services, content=contents)
    def restore(self, service: Service, content: str) -> None:
        """Remove a server's data by hand and put other data in its place."""
        shutil.rmtree(self._data(service), ignore_errors=True)
        self._forget(self._data(service))
        self.put(service, content, beside=False)

    def _data(self, service: Service) -> Path:
        return self.root / "project" / service / "data"

    def _forget(self, folder: Path) -> None:
        self.theirs = {path: text for path, text in self.theirs.items() if not path.is_relative_to(folder)}

    def _give_up_unfinished(self) -> None:
        """Let go of what a user put over an attempt of `up`'s, where it is no cluster: it goes with that attempt."""
        data = self._data(Service.POSTGRES)
        if is_made_by_up(data) and data / CONTROL_FILE not in self.theirs:
            self._forget(data)

    def _require_all_kept(self) -> None:
        assert {path: path.read_bytes() for path in self.theirs if path.exists()} == self.theirs


QUICK = settings(max_examples=25, stateful_step_count=12, deadline=None)
LONG = settings(QUICK, max_examples=100)


@pytest.mark.parametrize("extent", [QUICK, pytest.param(LONG, marks=pytest.mark.slow)], ids=["quick", "long"])
def test_what_is_the_users_stays_in_folders(extent: settings) -> None:
    """Any order of `up`, `down` and a user's own changes leaves every file of the user's as it was."""
    run_state_machine_as_test(OnFolders, settings=extent)
