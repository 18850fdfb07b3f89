"""What the table of versions says of a server is what the server itself says."""

from infra.backends.docker.engine import connect, find_endpoint
from infra.backends.docker.images import image_id
from infra.config.settings import BackendChoice
from infra.config.versions import OFFERS, Place
from schema.client.connection import BoundedConnection
from tests.kit.stack import RunningStack

_SAYS = """
SELECT current_setting('server_version_num')::int / 10000,
       current_setting('ssl_library') <> '',
       EXISTS (SELECT FROM pg_collation WHERE collname = 'und-x-icu'),
       array(SELECT name::text FROM pg_available_extensions)
"""


def test_the_table_is_true_of_the_server_that_runs(stack: RunningStack, admin: BoundedConnection) -> None:
    """Its version, TLS, ICU and the extensions that the table names."""
    [(version, tls, icu, extensions)] = admin.execute(_SAYS).fetchall()
    place = _place(stack)
    [offer] = [each for each in OFFERS if (each.server, each.place) == (version, place)]
    assert (tls, icu) == (offer.tls, offer.icu)
    assert {name for name in offer.extensions.split(", ") if " " not in name} <= set(extensions)


def _place(stack: RunningStack) -> Place:
    if stack.backend is BackendChoice.EMBEDDED:
        return Place.EMBEDDED
    official = image_id(connect(find_endpoint()), f"postgres:{stack.settings.postgres_version}")
    return Place.STAND_IN if official is None else Place.DOCKER
