"""Which libraries PostgreSQL's data asks for, by the text of its files alone."""

import pytest

from infra.backends.preload import refuse_missing
from infra.config.errors import StackError

MANUAL, AUTO = "postgresql.conf", "postgresql.auto.conf"


@pytest.mark.parametrize(
    ("files", "missing"),
    [
        ({}, None),
        ({MANUAL: "#shared_preload_libraries = 'gone'\n"}, None),
        ({MANUAL: "shared_preload_libraries = ''\n"}, None),
        ({MANUAL: "shared_preload_libraries = 'gone'\n", AUTO: "shared_preload_libraries = 'there'\n"}, None),
        ({AUTO: "Shared_Preload_Libraries 'there, \"$libdir/gone\"'  # why\n"}, "gone"),
        ({AUTO: "shared_preload_libraries = gone\nwork_mem = '4MB'\n"}, "gone"),
        ({AUTO: "shared_preload_libraries = '/opt/gone.so'\n"}, "/opt/gone.so"),
    ],
)
def test_a_library_that_is_not_there_is_named_with_the_command_that_takes_it_out(
    files: dict[str, str], missing: str | None
) -> None:
    """The last setting of the files counts; of the libraries in it, the one that is missing is named."""

    def judge() -> None:
        refuse_missing("there", files.get, lambda library: library == "there.so", lambda file: f"edit {file}")

    if missing is None:
        judge()
        return
    with pytest.raises(StackError, match=f"library .*{missing} .*`edit {AUTO}`"):
        judge()
