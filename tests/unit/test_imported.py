from pathlib import Path

import pytest

from infra.settings import CHECKOUT
from schema.autogenerate.imported import refuse_unimported
from schema.errors import MigrationError

MODEL = 'class Invoice(TenantMixin, Base):\n    """A bill."""\n\n    __tablename__ = "invoices"\n'


def test_a_model_that_nobody_imports_is_named(tmp_path: Path) -> None:
    """The module, the model and the line to write are in the message."""
    (tmp_path / "billing").mkdir()
    (tmp_path / "billing" / "invoices.py").write_text(MODEL)
    line = r"from nowhere\.billing\.invoices import Invoice"
    with pytest.raises(MigrationError, match=rf"billing/invoices\.py defines the model Invoice, .* Add `{line}`"):
        refuse_unimported(tmp_path, "nowhere")


@pytest.mark.parametrize(
    "source", ["", "__tablename__ = 'x'", MODEL.replace("Base", "Thing").replace("TenantMixin, ", "")]
)
def test_what_is_no_model_may_stay_unimported(source: str, tmp_path: Path) -> None:
    """A class of another base, and a module without a table, are not looked for."""
    (tmp_path / "invoices.py").write_text(source)
    refuse_unimported(tmp_path, "nowhere")


def test_every_model_of_the_project_is_imported() -> None:
    """Importing `schema.models` is enough."""
    import schema.models  # noqa: F401 - declares

    refuse_unimported(CHECKOUT / "schema", "schema")
