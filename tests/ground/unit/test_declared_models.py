"""What is wrong with a model is one paragraph: its file and line, what, and what to do.

The kind: whatever Python, SQLAlchemy or the tenancy rules raise while the models are imported and put together.
"""

import json
import subprocess
import sys

import pytest

from tests.kit.checkout import copy_project

HEAD = '''\
from sqlalchemy import CheckConstraint, ForeignKey, Identity
from sqlalchemy.orm import Mapped, mapped_column, relationship

from schema import Base, TenantMixin, tenant_foreign_key, tenant_index


class Thing(TenantMixin, Base):
    """The size and the "name" of a thing."""

    __tablename__ = "things"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    size: Mapped[int]
'''
LAST = len(HEAD.splitlines())
OTHER = 'class Other(Base):\n    """One."""\n\n    __tablename__ = '
MODELS = {
    "unnamed": HEAD + '    __table_args__ = (\n        CheckConstraint("size > 0"),\n    )\n',
    "undefined": HEAD + "    more: Mapped[intt]\n",
    "foreign key": HEAD + '    more: Mapped[int] = mapped_column(ForeignKey("nowhere.id"))\n',
    "tenant key": HEAD + '    __table_args__ = (\n        tenant_foreign_key("size", "nowhere.id"),\n    )\n',
    "index": HEAD + '    __table_args__ = (tenant_index("sise"),)\n',
    "relationship": HEAD + '    more: Mapped["Nobody"] = relationship()\n',
    "type": HEAD + "    more: Mapped[dict]\n",
    "no annotation": HEAD + "    more = mapped_column()\n",
    "syntax": HEAD + "    more: Mapped[int\n",
    "twice": f'{HEAD}\n\n{OTHER}"things"\n    size: Mapped[int]\n',
    "no primary key": f'{HEAD}\n\n{OTHER}"others"\n    size: Mapped[int]\n',
    "missing": f"import schema.nothing\n{HEAD}",
    "misspelled": f"from schema import Bas\n{HEAD}",
    "circular": f"from schema.models import Thing\n{HEAD}",
    "another tenant's": HEAD + '    more: Mapped[int] = mapped_column(ForeignKey("users.id"))\n',
    "nothing wrong": HEAD,
}
_LOAD = """
import json, os, sys
from pathlib import Path
import sqlalchemy.orm, schema.tenancy.roots, schema.tenancy.mixin
from schema.migration.models import load_models
from schema.errors import SchemaError

said = {}
for name, model in json.load(sys.stdin).items():
    Path("schema/models/thing.py").write_text(model)
    ends, starts = os.pipe()
    if os.fork() == 0:
        try:
            load_models()
            answer = ""
        except SchemaError as error:
            answer = f"{type(error).__name__} {error}"
        os.write(starts, answer.encode())
        os._exit(0)
    os.close(starts)
    with open(ends) as stream:
        said[name] = stream.read()
    os.wait()
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Give what is said of each model in a copy of the project, after the error's class."""
    copy = copy_project(tmp_path_factory.mktemp("models") / "copy")
    done = subprocess.run(
        [sys.executable, "-B", "-c", _LOAD],
        cwd=copy,
        input=json.dumps(MODELS),
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("name", "line", "what"),
    [
        ("unnamed", LAST + 2, "model Thing cannot be read: a constraint has no name. Give it one, such as name="),
        ("undefined", LAST + 1, "model Thing cannot be read: NameError: name 'intt' is not defined"),
        ("foreign key", LAST + 1, "model Thing cannot be read: NoReferencedTableError: "),
        ("tenant key", LAST + 2, "model Thing cannot be read: NoReferencedTableError: "),
        ("index", LAST + 1, "model Thing cannot be read: ConstraintColumnNotFoundError: Can't create Index"),
        ("relationship", LAST + 1, "model Thing cannot be read: InvalidRequestError: When initializing mapper"),
        ("type", LAST + 1, "model Thing cannot be read: MappedAnnotationError: Could not locate"),
        ("no annotation", LAST + 1, "model Thing cannot be read: ArgumentError: Python typing annotation"),
        ("syntax", LAST + 1, "the models cannot be read: SyntaxError: '[' was never closed"),
        (
            "twice",
            LAST + 3,
            "model Other cannot be read: Table 'things' is already defined for this MetaData instance.",
        ),
        ("no primary key", LAST + 3, "model Other cannot be read: ArgumentError: Mapper Mapper[Other(others)]"),
        ("missing", 1, "the models cannot be read: ModuleNotFoundError: No module named 'schema.nothing'"),
        ("misspelled", 1, "the models cannot be read: ImportError: cannot import name 'Bas'"),
        (
            "circular",
            1,
            "the models cannot be read: ImportError: cannot import name 'Thing' from partially initialized",
        ),
    ],
)
def test_a_model_that_is_wrong_is_named_with_its_line(name: str, line: int, what: str, said: dict[str, str]) -> None:
    """The line is that of the part that is wrong or, where no part is, of its class."""
    assert said[name].startswith(f"ModelError schema/models/thing.py, line {line}: {what}")
    assert said[name].endswith("Nothing was changed.")
    assert "\n" not in said[name]


def test_what_would_not_keep_tenants_apart_is_named_with_its_line(said: dict[str, str]) -> None:
    """With the error of isolation; where nothing is wrong nothing is said."""
    assert said["another tenant's"].startswith(f"TenancyError schema/models/thing.py, line {LAST + 1}: things: ")
    assert said["nothing wrong"] == ""
