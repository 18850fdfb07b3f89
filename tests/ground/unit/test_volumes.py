"""What is judged of data by what it holds."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.backends.data_directory import (
    ACCESS_FILE,
    Content,
    RedisContent,
    admits_other_hosts,
    identifier_of,
    judge_postgres,
    judge_redis,
)
from infra.backends.embedded.postgres import read_data
from infra.config.errors import StackError

identifiers = st.sampled_from(["ours", "theirs"])
contents = st.builds(
    Content,
    version=st.none() | st.sampled_from(["15", "16"]),
    marked=st.booleans(),
    made=st.none() | identifiers,
    identifier=st.none() | identifiers,
    entry=st.sampled_from(["PG_VERSION", "notes.txt"]),
    admits=st.booleans(),
)


@given(contents, st.booleans())
def test_a_cluster_that_up_did_not_make_is_never_made_again(content: Content, ours: bool) -> None:
    """Only an unmarked cluster that `up` itself made counts as unfinished; any other is served, as is a marked one.

    One that would let the stack in nowhere is refused instead, and not made again either.
    """
    data = judge_postgres("there", content, ours=ours)
    is_cluster = content.version is not None and content.identifier is not None
    if is_cluster and (content.marked or not ours or content.made != content.identifier):
        assert data.complete is content.admits
        assert (data.other == ACCESS_FILE) is not content.admits
    if not ours and content.made is None and not data.complete:
        assert data.other


@given(
    st.builds(RedisContent, made=st.just(False), append_only=st.just(False), snapshot=st.booleans(), entry=st.text())
)
def test_what_redis_would_not_load_is_refused(content: RedisContent) -> None:
    """A folder that `up` did not make and that holds no append-only file is not started on, whatever it holds."""
    data = judge_redis("there", content)
    assert not data.complete
    assert bool(data.other) is (content.snapshot or bool(content.entry))


_BY_INITDB = """
# TYPE  DATABASE  USER  ADDRESS  METHOD
local   all             all                                     trust
host    all             all             127.0.0.1/32            scram-sha-256
host    all             all             ::1/128                 scram-sha-256
host    replication     all             127.0.0.1/32            scram-sha-256
# host  all             all             all                     scram-sha-256
"""


@pytest.mark.parametrize(
    ("more", "admits"),
    [
        ("", False),
        ("host all all 127.0.0.1 255.255.255.255 trust", False),
        ("host replication standby 0.0.0.0/0 scram-sha-256", False),
        ("host all all all scram-sha-256", True),
        ("hostnossl app app_user 172.16.0.0/12 md5", True),
        ('host "all" all \\\n "samenet" trust', True),
        ("include_dir rules", True),
    ],
)
def test_initdbs_own_rules_let_no_other_host_in(more: str, admits: bool) -> None:
    """Only a rule for ordinary connections from another address lets a container's clients in, or may do so."""
    assert admits_other_hosts(_BY_INITDB + more) is admits


def test_a_control_file_of_zeros_names_no_cluster() -> None:
    """After a power cut a file may have its length and no content."""
    assert identifier_of(bytes(8192)) is None
    assert identifier_of(None) is None
    assert identifier_of(b"12345678" + bytes(8184)) is not None


def test_data_of_another_user_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data that was restored as another user, and may not be read, ends in what to do about it."""

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(StackError, match="another user's"):
        read_data(tmp_path)
