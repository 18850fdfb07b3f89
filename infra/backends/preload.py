"""Whether PostgreSQL's data asks for a library that the server does not have, with which it does not start.

Source: PostgreSQL manual, 20.1.2 (the files, and that the last word in them counts) and 20.11.4
(shared_preload_libraries); `expand_dynamic_library_name` in PostgreSQL's dfmgr.c.
"""

import re
from collections.abc import Callable

from infra.config.errors import StackError
from infra.config.identity import Service

_FILES = ("postgresql.conf", "postgresql.auto.conf")
_SETTING = re.compile(
    r"^\s*shared_preload_libraries\s*=?\s*(?:'((?:[^'\n]|'')*)'|([\w$./-]+))", re.MULTILINE | re.IGNORECASE
)


def refuse_missing(
    where: str, read: Callable[[str], str | None], has: Callable[[str], bool], edit: Callable[[str], str]
) -> None:
    """Refuse data that asks for a library which is not there.

    `read` gives a file of the data, `has` says whether the server has a library's file (a path, or a name in its own
    folder), and `edit` names the command that takes the setting out of a file.

    Raises:
        StackError: names library, file and command.
    """
    asked = [(file, found) for file in _FILES for found in _SETTING.finditer(read(file) or "")]
    if not asked:
        return
    file, setting = asked[-1]
    names = [name.strip(" \"'") for name in (setting[1] or setting[2] or "").split(",")]
    for name in filter(None, names):
        library = name.removeprefix("$libdir/")
        if not has(library if library.endswith(".so") else f"{library}.so"):
            raise StackError(
                f"The data in {where} asks for the library {name} (shared_preload_libraries in {file}), which this "
                "PostgreSQL does not have, and it would not start. Nothing was started or changed. Take the setting "
                f"out with `{edit(file)}`, or run a PostgreSQL that has it (POSTGRES_IMAGE); then run `invoke up` "
                f"again.",
                service=Service.POSTGRES,
            )
