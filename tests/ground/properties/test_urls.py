"""A database URL: whatever user, password and database are called, they arrive; and the password is not shown."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from infra.config.secret import Secret
from infra.config.urls import SCHEMES, DatabaseUrl

# What PostgreSQL can hold: any character but NUL.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30)
HOSTS = st.sampled_from(["localhost", "127.0.0.1", "::1", "db.example.com"])
OPTIONS = st.dictionaries(st.sampled_from(["options", "sslmode", "application_name"]), TEXT, max_size=2)
URLS = st.builds(
    DatabaseUrl,
    user=TEXT,
    password=st.builds(Secret, TEXT),
    host=HOSTS,
    port=st.integers(1, 65535),
    database=TEXT,
    query=OPTIONS,
)
MARK = "hunter2"


@given(URLS)
def test_a_url_is_read_as_it_was_written(url: DatabaseUrl) -> None:
    """Any text survives as user, password, database or option."""
    assert DatabaseUrl.parse(url.libpq()) == url


@given(URLS)
def test_libpq_reads_a_url_as_we_do(url: DatabaseUrl) -> None:
    """The grammar is libpq's own."""
    assert conninfo_to_dict(url.libpq()) == {
        "user": url.user,
        "password": url.password.reveal(),
        "host": url.host,
        "port": str(url.port),
        "dbname": url.database,
        **url.query,
    }


@given(URLS)
def test_the_password_is_not_shown(url: DatabaseUrl) -> None:
    """Neither `str` nor `repr` depends on what it is."""
    other = replace(url, password=Secret(MARK))
    assert (str(url), repr(url)) == (str(other), repr(other))


@given(URLS, st.sampled_from(SCHEMES))
def test_each_scheme_means_the_same(url: DatabaseUrl, scheme: str) -> None:
    """The names that other tools use are read as PostgreSQL's own."""
    assert DatabaseUrl.parse(url.libpq().replace("postgresql", scheme, 1)) == url


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_what_cannot_be_read_is_refused_without_showing_the_password(before: str, after: str) -> None:
    """Any text is a URL or a ValueError, and no message repeats what stands where the password is."""
    try:
        DatabaseUrl.parse(f"postgresql://{before}:{MARK}@{after}")
    except ValueError as error:
        assert MARK not in str(error)  # noqa: PT017 - a text that can be read is as good


@pytest.mark.parametrize("scheme", ["mysql", "sqlite", "postgresql+asyncpg", "postgresql+psycopg2", "redis"])
def test_other_schemes_are_refused_by_name(scheme: str) -> None:
    """The message names the scheme that was written and the one to write."""
    with pytest.raises(ValueError, match="postgresql://") as caught:
        DatabaseUrl.parse(f"{scheme}://app_user:{MARK}@localhost/app")
    assert repr(scheme) in str(caught.value)
    assert MARK not in str(caught.value)
