"""What a server is asked about itself, each question with its judgement; none needs a superuser.

A question that a server refuses, or answers in part because the role may not see the rest, is named as not seen.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, LiteralString, NamedTuple

from infra.commands.doctor.database import judging
from infra.commands.doctor.findings import Finding


class Question(NamedTuple):
    """A query, and what its rows mean.

    `needs` is the condition in SQL under which the role sees all of the answer, `lacks` what to grant for that.
    """

    subject: str
    query: LiteralString
    judge: Callable[[Sequence[tuple[Any, ...]], Mapping[str, Any]], Iterator[Finding]]
    needs: LiteralString = "true"
    lacks: str = ""


_MONITOR: LiteralString = "pg_has_role('pg_read_all_stats', 'USAGE')"
_TO_MONITOR = "pg_monitor"
QUESTIONS = (
    Question(
        "server",
        """
        SELECT current_setting('server_version_num')::int / 10000, current_setting('server_version'),
               pg_is_in_recovery(), pg_encoding_to_char(encoding), datname::text,
               datcollversion IS DISTINCT FROM pg_database_collation_actual_version(oid)
        FROM pg_database WHERE datname = current_database()
        """,
        judging.judge_server,
    ),
    Question(
        "extensions",
        """
        SELECT declared, default_version, installed_version,
               CASE WHEN installed_version IS NULL THEN EXISTS (
                   SELECT FROM pg_available_extension_versions v
                   WHERE v.name = declared AND (v.trusted OR NOT v.superuser)
               ) ELSE true END
        FROM unnest(%(extensions)s::text[]) WITH ORDINALITY AS wanted (declared, number)
        LEFT JOIN pg_available_extensions ON name = declared ORDER BY number
        """,
        judging.judge_extensions,
    ),
    Question(
        "parameters",
        """
        SELECT name, setting, source FROM pg_settings
        WHERE name IN ('autovacuum', 'fsync', 'full_page_writes', 'track_counts', 'zero_damaged_pages')
        """,
        judging.judge_server_parameters,
    ),
    Question(
        "connections",
        """
        SELECT current_setting('max_connections')::int,
               current_setting('superuser_reserved_connections')::int + current_setting('reserved_connections')::int,
               (SELECT count(*) FROM pg_stat_activity
                WHERE datid IS NOT NULL AND usesysid IS NOT NULL AND usename <> %(user)s
                  AND application_name <> %(application)s),
               coalesce((SELECT rolconnlimit FROM pg_roles WHERE rolname = %(user)s), -1),
               (SELECT datconnlimit FROM pg_database WHERE datname = current_database())
        """,
        judging.judge_connections,
    ),
    Question(
        "disk",
        "SELECT pg_database_size(current_database())",
        judging.judge_size,
    ),
    Question(
        "write-ahead log",
        "SELECT sum(size)::bigint FROM pg_ls_waldir()",
        judging.judge_wal,
        needs="has_function_privilege('pg_ls_waldir()', 'EXECUTE')",
        lacks=_TO_MONITOR,
    ),
    Question(
        "slots",
        """
        SELECT slot_name::text, active, wal_status, pg_wal_lsn_diff(
            CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END, restart_lsn
        )::bigint FROM pg_replication_slots ORDER BY 1
        """,
        judging.judge_slots,
    ),
    Question(
        "standbys",
        """
        SELECT coalesce(nullif(application_name, ''), client_addr::text, pid::text),
               pg_wal_lsn_diff(sent_lsn, replay_lsn)::bigint, extract(epoch FROM replay_lag)::float8
        FROM pg_stat_replication ORDER BY 1
        """,
        judging.judge_standbys,
        needs=_MONITOR,
        lacks=_TO_MONITOR,
    ),
    Question(
        "transaction ids",
        """
        SELECT datname::text, age(datfrozenxid), mxid_age(datminmxid) FROM pg_database
        ORDER BY greatest(age(datfrozenxid), mxid_age(datminmxid)) DESC LIMIT 1
        """,
        judging.judge_transaction_ids,
    ),
    Question(
        "transactions",
        """
        SELECT gid, extract(epoch FROM now() - prepared)::float8 FROM pg_prepared_xacts
        WHERE now() - prepared > interval '5 minutes' ORDER BY prepared
        """,
        judging.judge_prepared_transactions,
    ),
    Question(
        "transactions of others",
        """
        SELECT pid, usename::text, datname::text, state, extract(epoch FROM now() - xact_start)::float8
        FROM pg_stat_activity
        WHERE now() - xact_start > interval '5 minutes' AND backend_type = 'client backend' ORDER BY xact_start LIMIT 5
        """,
        judging.judge_long_transactions,
        needs=_MONITOR,
        lacks=_TO_MONITOR,
    ),
)
