"""The table of what is to be had where: read by the code and told by the page."""

import re

import pytest

from infra.backends.data_directory import refuse_only_others
from infra.config.errors import EnvironmentFault, StackError
from infra.config.settings import CHECKOUT
from infra.config.versions import OFFERS, POSTGRES_VERSIONS, Offer, Place, RedisVersion, postgres_at
from infra.images.build import RECIPES
from infra.images.wheel import INSTALLATIONS
from infra.stack import lifecycle, upgrade

_ANSWER = {True: "yes", False: "no", None: ""}


def _row(offer: Offer) -> str:
    server = offer.server.described if isinstance(offer.server, RedisVersion) else f"PostgreSQL {offer.server}"
    tls = "as it was built" if offer.tls is None else _ANSWER[offer.tls]
    cells = (server, offer.place.value, offer.source, tls, _ANSWER[offer.icu], offer.extensions)
    return "|".join(("", *(f" {cell} " if cell else " " for cell in cells), ""))


def test_the_page_has_the_table() -> None:
    """Each row of the page is one of the code's, in its order."""
    page = (CHECKOUT / "infra" / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (?:PostgreSQL|Redis|Valkey) .*", page, re.MULTILINE) == [_row(offer) for offer in OFFERS]


def test_each_version_is_to_be_had_in_containers_and_by_a_stand_in() -> None:
    """What the settings may ask for is somewhere, and what the table says of stand-ins and the wheel is built so."""
    assert postgres_at(Place.DOCKER) == postgres_at(Place.STAND_IN) == POSTGRES_VERSIONS
    by_wheel = {o.server for o in OFFERS if o.place is Place.STAND_IN and "pixeltable" in o.source}
    assert by_wheel == {recipe.wheel for recipe in RECIPES.values() if recipe.wheel} <= set(INSTALLATIONS)


@pytest.mark.parametrize(
    ("version", "major", "valkey", "accepted"),
    [
        (RedisVersion.ANY, 7, True, True),
        (RedisVersion.ANY, 6, False, False),
        (RedisVersion.REDIS_7, 7, False, True),
        (RedisVersion.REDIS_7, 7, True, False),
        (RedisVersion.REDIS_7, 8, False, False),
        (RedisVersion.REDIS_8, 8, False, True),
        (RedisVersion.VALKEY, 8, True, True),
        (RedisVersion.VALKEY, 8, False, False),
    ],
)
def test_a_redis_is_accepted_for_what_was_asked_for(
    version: RedisVersion, major: int, valkey: bool, accepted: bool
) -> None:
    """Valkey, which calls itself Redis 7, is none of the versions of Redis."""
    assert version.accepts(major, valkey=valkey) is accepted


def test_plain_processes_do_not_take_the_place_of_containers_for_a_version_that_they_lack() -> None:
    """Under `auto` the error says why there is no container, and which versions need none."""
    with pytest.raises(EnvironmentFault, match=r"PostgreSQL 17 .* no engine.*16 and 18"):
        lifecycle._refuse_containers_alone(17, "no engine")
    lifecycle._refuse_containers_alone(18, "no engine")


@pytest.mark.parametrize(
    ("version", "current", "found", "former"),
    [
        (18, 16, [16], 16),
        (18, 18, [16], 16),  # the setting was changed before the data was taken along
        (18, 16, [16, 18], 16),  # what a killed upgrade has left
        (18, 17, [16, 17], 17),
        (17, 16, [16, 18], 16),
        (16, 18, [18], None),
        (17, 18, [16, 18], None),
        (18, 18, [18], None),
        (18, 16, [], None),
    ],
)
def test_an_upgrade_starts_from_the_data_that_is_in_use(
    version: int, current: int, found: list[int], former: int | None
) -> None:
    """That of the setting where there is any, else the latest of those before; never one that is later."""
    if former is not None:
        assert upgrade._former(version, current, found) == former
        return
    with pytest.raises(StackError):
        upgrade._former(version, current, found)


def test_data_is_begun_beside_that_of_other_versions_only_by_an_upgrade() -> None:
    """The refusal says what takes the data along, and that there is no way down."""
    refuse_only_others(18, [])
    with pytest.raises(StackError, match="`invoke up --upgrade 18` takes it along"):
        refuse_only_others(18, [16])
    with pytest.raises(StackError, match="POSTGRES_VERSION=18 serves it"):
        refuse_only_others(16, [18])
