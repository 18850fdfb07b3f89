"""What doctor makes of how a database is reached, and of what its server says of itself."""

from collections.abc import Mapping
from typing import Any

import pytest

from infra.commands.doctor.database import judging
from infra.commands.doctor.database.ways import Pooled, Pooling, Tls, Way, Who, judge_pooler, judge_session, judge_tls
from infra.commands.doctor.findings import Level
from infra.config.settings import Role
from infra.config.urls import DatabaseUrl

GIVEN = {"budget": 100, "user": "app_user", "database": "app", "pooled": False}


def way(who: Who = Role.USER, host: str = "db.example", **changes: Any) -> Way:
    """Return a way that is well but for what is given."""
    made = Way(
        who,
        DatabaseUrl.parse(f"postgresql://{who}:S3cret@{host}/app"),
        "verify-full",
        encrypted=True,
        server_tls=Tls("TLSv1.3", "TLS_AES_256_GCM_SHA384"),
        pooled=Pooled(Pooling.NONE),
        session={},
        asked={},
    )
    return made._replace(**changes)


@pytest.mark.parametrize(
    ("changed", "level", "named"),
    [
        ({}, Level.OK, "TLSv1.3"),
        ({"sslmode": "require"}, Level.WARN, "verify-full"),
        ({"server_tls": Tls("TLSv1.1", "AES128-SHA")}, Level.WARN, "ssl_min_protocol_version"),
        ({"encrypted": False, "server_tls": None, "sslmode": "prefer"}, Level.WARN, "readable on the way"),
        ({"encrypted": False, "server_tls": None, "host": "127.0.0.1"}, Level.OK, "this machine"),
        ({"server_tls": None, "pooled": Pooled(Pooling.SESSION)}, Level.OK, "to the server none"),
    ],
)
def test_tls_is_judged_by_who_could_read_or_answer(changed: dict[str, Any], level: Level, named: str) -> None:
    """Plain text and a server that proves nothing are warnings, but on this machine."""
    finding = judge_tls(way(**changed))
    assert finding.level is level
    assert named in finding.text
    assert "S3cret" not in finding.text


@pytest.mark.parametrize(
    ("who", "mode", "prepared", "levels"),
    [
        (Role.USER, Pooling.NONE, None, []),
        (Role.OWNER, Pooling.SESSION, None, [Level.OK]),
        (Role.OWNER, Pooling.TRANSACTION, True, [Level.FAIL]),
        ("administrator", Pooling.TRANSACTION, True, [Level.FAIL]),
        (Role.USER, Pooling.TRANSACTION, True, [Level.OK]),
        (Role.USER, Pooling.TRANSACTION, None, [Level.OK]),
        (Role.USER, Pooling.TRANSACTION, False, [Level.FAIL]),
        (Role.USER, Pooling.STATEMENT, None, [Level.FAIL]),
    ],
)
def test_a_pooler_is_judged_by_what_the_role_does(
    who: Who, mode: Pooling, prepared: bool | None, levels: list[Level]
) -> None:
    """Migrations need a session, the application a transaction and its prepared statements."""
    assert [each.level for each in judge_pooler(way(who, pooled=Pooled(mode, prepared)))] == levels


@pytest.mark.parametrize(
    ("who", "session", "level"),
    [
        (Role.USER, {"row_security": "off"}, Level.FAIL),
        (Role.OWNER, {"session_replication_role": "replica"}, Level.FAIL),
        (Role.OWNER, {"statement_timeout": "120000"}, Level.WARN),
        (Role.USER, {"statement_timeout": "120000", "row_security": "on"}, None),
    ],
)
def test_settings_of_a_role_count_where_it_works(who: Who, session: Mapping[str, str], level: Level | None) -> None:
    """A time limit matters to migrations; what switches policies or foreign keys off is a failure."""
    assert [each.level for each in judge_session(way(who, session=session))] == ([level] if level else [])


def test_what_a_pooler_drops_of_a_session_is_named() -> None:
    """A setting that was asked for and is not there is named with both values, but not without a pooler."""
    lost: dict[str, Any] = {"session": {"statement_timeout": "0"}, "asked": {"statement_timeout": "30000"}}
    (finding,) = judge_session(way(pooled=Pooled(Pooling.SESSION), **lost))
    assert "statement_timeout is 0 and not 30000" in finding.found
    assert list(judge_session(way(**lost))) == []


def levels(found: Any) -> list[Level]:
    """Return the levels of findings."""
    return [finding.level for finding in found]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ((16, "16.4", False, "UTF8", "app", False), [Level.OK]),
        ((18, "18.1", False, "UTF8", "app", True), [Level.OK, Level.WARN]),
        ((15, "15.9", False, "UTF8", "app", False), [Level.FAIL]),
        ((17, "17.2", True, "UTF8", "app", False), [Level.OK, Level.FAIL]),
        ((17, "17.2", False, "LATIN1", "app", False), [Level.OK, Level.FAIL]),
    ],
)
def test_a_server_is_judged_by_what_it_is(row: tuple[Any, ...], expected: list[Level]) -> None:
    """Another version, a standby and another encoding are failures; another version of a collation is a warning."""
    assert levels(judging.judge_server([row], GIVEN)) == expected


@pytest.mark.parametrize(
    ("row", "level", "named"),
    [
        (("vector", "0.8", "0.8", True), Level.OK, "0.8"),
        (("vector", "0.8", "0.7", True), Level.WARN, 'ALTER EXTENSION "vector" UPDATE'),
        (("vector", "0.8", None, False), Level.FAIL, "superuser"),
        (("pg_cron", None, None, False), Level.FAIL, "does not offer pg_cron"),
    ],
)
def test_a_declared_extension_is_offered_made_and_current(row: tuple[Any, ...], level: Level, named: str) -> None:
    """One that is missing is a failure, an older one a warning with its statement."""
    (finding,) = judging.judge_extensions([row], GIVEN)
    assert finding.level is level
    assert named in finding.text


@pytest.mark.parametrize(
    ("row", "pooled", "level", "named"),
    [
        ((120, 3, 17, -1, -1), False, Level.OK, "100 can be had"),
        ((25, 3, 5, -1, -1), False, Level.WARN, "DATABASE_POOL_BUDGET to 17"),
        ((500, 3, 0, 20, -1), False, Level.WARN, "ALTER ROLE app_user CONNECTION LIMIT"),
        ((500, 3, 0, -1, 30), False, Level.WARN, "ALTER DATABASE app CONNECTION LIMIT"),
        ((25, 3, 5, -1, -1), True, Level.OK, "pooler"),
    ],
)
def test_the_budget_is_held_against_what_can_be_had(
    row: tuple[int, ...], pooled: bool, level: Level, named: str
) -> None:
    """The least of the limits decides, and its name stands in the warning."""
    (finding,) = judging.judge_connections([row], GIVEN | {"pooled": pooled})
    assert finding.level is level
    assert named in finding.text


def test_slots_count_that_nobody_reads() -> None:
    """An idle slot that holds much of the log, and one that has lost it, are warnings; one in use is none."""
    rows = [
        ("idle", False, "extended", 5 * 10**9),
        ("lost", False, "lost", None),
        ("busy", True, "reserved", 5 * 10**9),
        ("new", False, "reserved", 1000),
    ]
    assert [finding.found.split()[1] for finding in judging.judge_slots(rows, GIVEN)] == ["idle", "lost"]


@pytest.mark.parametrize(
    ("age", "multi", "expected"),
    [(199_000_000, 5, []), (5, 1_000_000_000, [Level.WARN]), (2_000_000_000, 5, [Level.FAIL])],
)
def test_transaction_ids_run_out_with_a_warning_before(age: int, multi: int, expected: list[Level]) -> None:
    """The older of the two counters decides; before writes stop there is a failure."""
    assert levels(judging.judge_transaction_ids([("app", age, multi)], GIVEN)) == expected


def test_what_stays_open_is_named_with_its_end() -> None:
    """A long transaction is named with its process, a prepared one with its name, and each with what ends it."""
    (long,) = judging.judge_long_transactions([(42, "ada", "app", "idle in transaction", 7_500.0)], GIVEN)
    (prepared,) = judging.judge_prepared_transactions([("order-7", 300.0)], GIVEN)
    assert "2 h 5 min" in long.found
    assert "pg_terminate_backend(42)" in long.remedy
    assert "ROLLBACK PREPARED 'order-7'" in prepared.remedy


@pytest.mark.parametrize(("behind", "seconds", "level"), [(10, 0.2, Level.OK), (10, 61.0, Level.WARN)])
def test_a_standby_may_be_a_minute_behind(behind: int, seconds: float, level: Level) -> None:
    """A standby that is further behind is a warning."""
    assert levels(judging.judge_standbys([("replica", behind, seconds)], GIVEN)) == [level]


def test_what_risks_the_data_is_a_warning() -> None:
    """A server that is set to lose data says so with the risk; one as it should be says nothing."""
    rows = [("fsync", "off", "command line"), ("autovacuum", "on", "default")]
    (finding,) = judging.judge_server_parameters(rows, GIVEN)
    assert finding.level is Level.WARN
    assert "fsync = on" in finding.remedy
