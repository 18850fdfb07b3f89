"""Whatever sessions of several tenants do, and in whatever order they share connections: none sees a foreign row."""

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, SessionTransaction

from infra.config.settings import Role
from schema.client.aio.engine import create_async_engine
from schema.client.aio.session import tenant_session as async_tenant_session
from schema.client.orm import TenantSession
from schema.client.session import tenant_session, tenantless_connection
from schema.errors import TenantContextError
from schema.models.features import TenantFeature
from schema.models.tenants import Tenant
from tests.kit.database import MakeEngine, SignUp
from tests.kit.stack import RunningStack

pytestmark = pytest.mark.quick_on_one

QUICK = settings(max_examples=8, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
LONG = settings(QUICK, max_examples=60, stateful_step_count=60)


class Step(Enum):
    """What a session may do next."""

    READ = auto()
    READ_OBJECTS = auto()
    READ_PREPARED = auto()
    STREAM = auto()
    ADD = auto()
    CHANGE_ALL = auto()
    DELETE_ALL = auto()
    WRITE_FOREIGN = auto()
    HOLD_CURSOR = auto()
    SAVEPOINT = auto()
    RELEASE = auto()
    ROLL_BACK_TO = auto()
    SET_FOR_THE_SESSION = auto()
    COMMIT = auto()
    ROLL_BACK = auto()


STEPS = st.sampled_from(Step)


@dataclass
class Actor:
    """One session and its tenant; each step checks what it sees."""

    session: Session
    tenant: UUID
    others: Sequence[UUID] = ()
    savepoints: list[SessionTransaction] = field(default_factory=list)

    def take(self, step: Step) -> None:
        """Take a step, and look whose rows there are after it."""
        getattr(self, f"_{step.name.lower()}")()
        if step not in {Step.COMMIT, Step.ROLL_BACK, Step.SET_FOR_THE_SESSION}:
            self._read()

    def _only_mine(self, found: Iterator[Any] | Sequence[Any]) -> None:
        assert set(found) <= {self.tenant}

    def _read(self) -> None:
        assert self.session.scalars(text("SELECT tenant_id FROM tenants")).all() == [self.tenant]
        self._only_mine(self.session.scalars(text("SELECT tenant_id FROM tenant_features")).all())

    def _read_objects(self) -> None:
        assert [tenant.tenant_id for tenant in self.session.scalars(select(Tenant))] == [self.tenant]
        self._only_mine([feature.tenant_id for feature in self.session.scalars(select(TenantFeature))])

    def _read_prepared(self) -> None:
        for _ in range(7):  # psycopg prepares at the sixth
            assert self.session.execute(select(func.count(), func.min(Tenant.slug))).one() == (1, f"acme-{self.tenant}")

    def _stream(self) -> None:
        rows = self.session.execute(
            text("SELECT tenant_id FROM tenants, generate_series(1, 20)"),
            execution_options={"stream_results": True, "max_row_buffer": 3},
        )
        assert {found for (found,) in rows} == {self.tenant}

    def _add(self) -> None:
        self.session.add(TenantFeature(feature=str(uuid4())))
        self.session.flush()

    def _change_all(self) -> None:
        self._only_mine(
            self.session.scalars(text("UPDATE tenant_features SET enabled = NOT enabled RETURNING tenant_id")).all()
        )

    def _delete_all(self) -> None:
        self._only_mine(self.session.scalars(text("DELETE FROM tenant_features RETURNING tenant_id")).all())

    def _write_foreign(self) -> None:
        for other in self.others:
            with pytest.raises(DBAPIError, match="row-level security"), self.session.begin_nested():
                self.session.execute(
                    text("INSERT INTO tenant_features (tenant_id, feature) VALUES (:other, 'stolen')"),
                    {"other": other},
                )

    def _hold_cursor(self) -> None:
        name = f"held_{uuid4().hex}"
        self.session.execute(text(f"DECLARE {name} CURSOR WITH HOLD FOR SELECT tenant_id FROM tenants"))

    def _savepoint(self) -> None:
        self.savepoints.append(self.session.begin_nested())

    def _release(self) -> None:
        if self.savepoints:
            self.savepoints.pop().commit()

    def _roll_back_to(self) -> None:
        if self.savepoints:
            self.savepoints.pop().rollback()

    def _set_for_the_session(self) -> None:
        """Leave a setting behind that outlives the transaction and the checkout."""
        self._end_savepoints()
        for other in self.others:
            self.session.execute(text(f"SET app.tenant_id = '{other}'"))
        self.session.commit()

    def _commit(self) -> None:
        self._end_savepoints()
        self.session.commit()

    def _roll_back(self) -> None:
        self.savepoints.clear()
        self.session.rollback()

    def _end_savepoints(self) -> None:
        while self.savepoints:
            self.savepoints.pop().commit()


class Sharing(RuleBasedStateMachine):
    """Sessions of three tenants on one connection: it serves one transaction at a time, of any of them."""

    def __init__(self, engine: Engine, tenants: Sequence[UUID]) -> None:
        super().__init__()
        self.engine = engine
        self.tenants = tenants
        self.actors: list[Actor] = []

    @initialize()
    def begin(self) -> None:
        """Open a session for each tenant, and a second one for the first."""
        for tenant in (*self.tenants, self.tenants[0]):
            others = [other for other in self.tenants if other != tenant]
            self.actors.append(Actor(TenantSession(self.engine, tenant=tenant), tenant, others))

    @rule(which=st.integers(0, 3), step=STEPS, end=st.sampled_from([Step.COMMIT, Step.ROLL_BACK]))
    def act(self, which: int, step: Step, end: Step) -> None:
        """Let one session take a step; whoever holds the connection gives it back first."""
        self._free(end, besides=self.actors[which])
        self.actors[which].take(step)

    @rule(end=st.sampled_from([Step.COMMIT, Step.ROLL_BACK]))
    def have_no_tenant(self, end: Step) -> None:
        """Use the connection with no tenant, said and unsaid."""
        self._free(end)
        with tenantless_connection(self.engine) as connection:
            with pytest.raises(DBAPIError, match=r"app\.tenant_id is not set"):
                connection.execute(select(Tenant))
            connection.rollback()
        with self.engine.connect() as connection, pytest.raises(TenantContextError):
            connection.execute(select(Tenant))

    @rule(which=st.integers(0, 3), end=st.sampled_from([Step.COMMIT, Step.ROLL_BACK]))
    def kill(self, which: int, end: Step) -> None:
        """Lose the connection in the middle of a transaction; the session goes on with another."""
        self._free(end)
        actor = self.actors[which]
        actor.session.connection().invalidate()
        actor.take(Step.ROLL_BACK)
        actor.take(Step.READ)

    def _free(self, end: Step, besides: Actor | None = None) -> None:
        for actor in self.actors:
            if actor is not besides and actor.session.in_transaction():
                actor.take(end)

    def teardown(self) -> None:
        """Give everything back."""
        for actor in self.actors:
            actor.session.close()


def share(engine: Engine, sign_up: SignUp, extent: settings) -> None:
    """Look for an order of steps in which somebody sees a foreign row."""
    tenants = [sign_up() for _ in range(3)]
    run_state_machine_as_test(cast(Any, lambda: Sharing(engine, tenants)), settings=extent)


def test_sessions_that_share_a_connection_see_their_own_rows(single: Engine, sign_up: SignUp) -> None:
    """No order of reads, writes, savepoints, ends, lost connections and raw SQL shows a tenant another's row."""
    share(single, sign_up, QUICK)


@pytest.mark.slow
@pytest.mark.one_backend
def test_sessions_that_share_a_connection_see_their_own_rows_for_long(single: Engine, sign_up: SignUp) -> None:
    """The same over many more orders."""
    share(single, sign_up, LONG)


SCRIPTS = st.lists(st.lists(STEPS, min_size=1, max_size=8), min_size=4, max_size=4)


@contextmanager
def acting(engine: Engine, tenant: UUID, others: Sequence[UUID]) -> Iterator[Actor]:
    """Give an actor in a block of its tenant."""
    with tenant_session(engine, tenant) as session:
        yield Actor(session, tenant, others)


@pytest.mark.parametrize("extent", [QUICK, pytest.param(LONG, marks=pytest.mark.slow)], ids=["quick", "long"])
def test_threads_see_their_own_rows(extent: settings, make_engine: MakeEngine, sign_up: SignUp) -> None:
    """Four threads of four tenants share two connections."""
    engine = make_engine(database_pool_budget=2, database_processes=1)
    tenants = [sign_up() for _ in range(4)]

    def play(number: int, script: Sequence[Step]) -> None:
        with acting(engine, tenants[number], tenants[number + 1 :]) as actor:
            for step in script:
                actor.take(step)

    @extent
    @given(SCRIPTS)
    def check(scripts: list[list[Step]]) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(play, range(4), scripts))

    check()


@pytest.mark.parametrize("extent", [QUICK, pytest.param(LONG, marks=pytest.mark.slow)], ids=["quick", "long"])
def test_tasks_see_their_own_rows(extent: settings, stack: RunningStack, sign_up: SignUp) -> None:
    """Four tasks of four tenants share one connection under asyncio."""
    tenants = [sign_up() for _ in range(4)]
    small = replace(stack.settings, database_pool_budget=1, database_processes=1)

    async def main(scripts: list[list[Step]]) -> None:
        engine = create_async_engine(stack.url(Role.USER), small)

        async def play(number: int, script: Sequence[Step]) -> None:
            async with async_tenant_session(engine, tenants[number]) as session:
                actor = Actor(session.sync_session, tenants[number], tenants[number + 1 :])
                for step in script:
                    await session.run_sync(lambda _, taken: actor.take(taken), step)

        try:
            await asyncio.gather(*map(play, range(4), scripts))
        finally:
            await engine.dispose()

    @extent
    @given(SCRIPTS)
    def check(scripts: list[list[Step]]) -> None:
        asyncio.run(main(scripts))

    check()
