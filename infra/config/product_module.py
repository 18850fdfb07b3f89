"""Modules of `infra/product/`, which are the product's: loaded by name and imported nowhere; what is wrong in them."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from traceback import extract_tb
from types import ModuleType

FOLDER = Path(__file__).parents[1] / "product"


def load_module(name: str) -> ModuleType | None:
    """Import a module of the product's; None where there is none. Whatever it raises at its import passes through."""
    module = f"infra.product.{name}"
    if find_spec("infra.product") is None or find_spec(module) is None:
        return None
    return import_module(module)


def explain(error: BaseException, name: str) -> tuple[str, str]:
    """Return where in the product's module an error is, as seen from the checkout, and what it says."""
    if isinstance(error, SyntaxError):
        return place(error.filename or "", error.lineno), f"{type(error).__name__}: {error.msg}"
    frames = [frame for frame in extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(FOLDER)]
    where = place(frames[-1].filename, frames[-1].lineno) if frames else place(str(FOLDER / f"{name}.py"), None)
    return where, f"{type(error).__name__}: {' '.join(str(error).split())}"


def place(file: str, line: int | None) -> str:
    """Return a file as seen from the checkout, with the line where there is one."""
    path = Path(file)
    shown = path.relative_to(FOLDER.parent.parent) if path.is_relative_to(FOLDER) else path
    return f"{shown}:{line}" if line else str(shown)
