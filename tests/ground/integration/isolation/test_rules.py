"""Each rule of the isolation check, held against damage that is done for real and rolled back."""

import re

import psycopg
import pytest

from infra.config.database_names import KEYWORDS
from infra.config.settings import Role
from schema.client.connection import BoundedConnection
from schema.isolation.finding import Finding, rule_id
from schema.isolation.rules import RULES
from schema.isolation.rules.fixes import AS_SUPERUSER
from tests.ground.integration.isolation.conftest import broken, findings
from tests.ground.integration.isolation.damaged_rights import LOGIN, RIGHTS_DAMAGES, ROLE_DAMAGES
from tests.ground.integration.isolation.damages import DAMAGES, HARMLESS, WIDE_DAMAGES

pytestmark = pytest.mark.one_backend

EVERY = [
    *((str(Role.USER), statements, {(rule, found)}) for rule, found, statements in DAMAGES + RIGHTS_DAMAGES),
    *((str(Role.USER), statements, expected) for statements, expected in WIDE_DAMAGES),
    *ROLE_DAMAGES,
]
IDS = [f"{number}-{min(expected)[0]}" for number, (_, _, expected) in enumerate(EVERY)]

# The names of the damages that are spelled so that SQL has to quote them.
HOSTILE = {
    **{
        name: f'"{name.title()}.""x"'
        for name in ("users", "notes", "notes_0", "notes_0_1", "guests", "others", "bills")
    },
    **{name: f'"{name} of; all"' for name in ("everybody", "by_email", "by_role", "by_id", "by_n", "by_whom", "open")},
    **{name: f'"{name}\'s"' for name in ("to_feature", "noted", "meddler", "nowhere", "elsewhere", "feature", "mine")},
    "email": '"E-mail, id"',
    "n": '"N"',
    "user_id": '"order"',
    "f": '"F(x) in y"',
    "narrower": '"TO of"',
}
WORDS = re.compile(rf"\b({'|'.join(HOSTILE)})\b")
RENAMED = "ALTER TABLE users RENAME email TO {email}; ALTER TABLE users RENAME TO {users}"

# Fixes that are no SQL for a transaction, and why.
ELSEWHERE = {
    "function-undeclared": "what a function is for is the code's to say",
    "application-role": "which role connects is a setting's to say",
    "security-definer": "why a declared function may do more than its caller is the allow-list's to say",
    "allow-list": "what is allowed stands in pyproject.toml",
    "role-missing": "a command makes the roles",
    "invalid-index": "an index is built concurrently outside a transaction, in a test of its own",
    "system-function": "how another language's function was defined only template0 knows",
    "session-default": "the server's own settings are no transaction's, in a test of their own",
}


def hostile(text: str) -> str:
    """Return statements or a name with names in them that have to be quoted."""
    return WORDS.sub(lambda word: HOSTILE[word[0]], text)


def do(connection: BoundedConnection, statements: str) -> None:
    """Do damage in the database that the connection is on: as its owner, where the owner may."""
    statement = statements.replace("{database}", connection.info.dbname).encode()
    try:
        with connection.transaction():
            connection.execute("SET LOCAL ROLE app_owner")
            connection.execute(statement)
            connection.execute("RESET ROLE")
    except psycopg.Error:
        connection.execute(statement)


def paste(connection: BoundedConnection, fix: str) -> None:
    """Run a fix as whom it says: a superuser, or else the owner of the database."""
    if not fix.startswith(AS_SUPERUSER):
        connection.execute("SET LOCAL ROLE app_owner")
    connection.execute(fix.encode())
    connection.execute("RESET ROLE")


def is_sql(finding: Finding) -> bool:
    """Return whether a fix is SQL that runs in a transaction, and not a command or a place to write something."""
    if re.match(r"in |on |invoke |read |(/\*.*\*/ )?(ALTER SYSTEM|REINDEX INDEX CONCURRENTLY)", finding.fix):
        assert finding.rule in ELSEWHERE
        return False
    return True


@pytest.mark.parametrize(("user", "statements", "expected"), EVERY, ids=IDS)
def test_damage_is_found_and_its_fix_heals_it(
    user: str, statements: str, expected: set[tuple[str, str]], damage: BoundedConnection
) -> None:
    """Damage breaks the rules that are about it, and each fix, pasted as it is printed, ends its finding and adds none.

    The kind: a fix that is no SQL, that names something unquoted, that the role it is for may not run, or that another
    rule takes back.
    """
    damage.execute(RENAMED.format(**HOSTILE).encode())
    do(damage, hostile(statements))
    found = findings(damage, user)
    left = {(finding.rule, finding.object) for finding in found}
    assert left == {(rule, hostile(name).format(database=damage.info.dbname)) for rule, name in expected}
    for finding in found:
        if (finding.rule, finding.object) in left and is_sql(finding):
            paste(damage, finding.fix)
            after = broken(damage, user)
            assert after < left
            assert (finding.rule, finding.object) not in after
            left = after
    assert {rule for rule, _ in left} <= set(ELSEWHERE)


@pytest.mark.parametrize("statements", HARMLESS, ids=range(len(HARMLESS)))
def test_what_is_sound_is_no_finding(statements: str, damage: BoundedConnection) -> None:
    """What keeps tenants apart as well, or does not concern them, breaks no rule."""
    do(damage, statements)
    assert broken(damage) == set()
    assert broken(damage, LOGIN) <= {("role-missing", '"Web.App"')}


def test_every_rule_is_tried() -> None:
    """There is damage for each rule."""
    tried = {rule for _, _, found in EVERY for rule, _ in found}
    assert tried - {"allow-list"} == {rule_id(rule) for rule in RULES}


def test_no_word_that_the_server_quotes_is_a_name(owner: BoundedConnection) -> None:
    """A product's name is written without quotes everywhere. Words of later versions are known as well."""
    asked = "SELECT word FROM pg_get_keywords() WHERE catcode <> 'U'"
    assert {word for (word,) in owner.execute(asked).fetchall()} <= KEYWORDS
