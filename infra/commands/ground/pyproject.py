"""pyproject.toml, which the ground and the product share: who is named in it, and the base that is recorded there."""

import re
import tomllib
from typing import Any, NamedTuple

from infra.commands.ground.git import GroundError
from infra.config.errors import EnvironmentFault
from infra.config.ground import DEFAULT_NAME

try:
    import tomlkit
    from tomlkit.items import Array, String, Table
except ModuleNotFoundError:  # it is for developers, and came later than the rest
    raise EnvironmentFault(
        "tomlkit is not installed, which edits pyproject.toml. Install this environment again, as the README has it."
    ) from None

PATH = "pyproject.toml"
_IDENTITY = ("name", "version", "description")
_TOOL = "groundwork"
# What the ground's files call functions and roles of the database: the name before a call or the kind of a role.
_FUNCTION = re.compile(rf"\b{DEFAULT_NAME}\.(?=\w+\()")
_ROLE = re.compile(rf"\b{DEFAULT_NAME}_(?=(?:owner|user|maintenance)\b)")


class Record(NamedTuple):
    """What a product began from or was last updated to: the ground's version, its commit, and where updates come from.

    The remote stands last: it stays, and so keeps what the product writes below it apart from what an update changes.
    """

    ground: str
    base: str
    remote: str


def read(text: str, where: str) -> dict[str, Any]:
    """Return what a pyproject.toml holds.

    Raises:
        GroundError: it is not TOML, or has no [project] with a name; `where` says which one it is.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise GroundError(f"pyproject.toml of {where} cannot be read: {error}. Nothing was changed.") from None
    if "name" not in document.get("project", {}):
        raise GroundError(f"pyproject.toml of {where} names no project: it is none of the ground. Nothing was changed.")
    return document


def record_of(document: dict[str, Any]) -> Record | None:
    """Return what a product has recorded; None where the checkout is nobody's yet."""
    section = document.get("tool", {}).get(_TOOL, {})
    return Record(*(str(section.get(key, "")) for key in Record._fields)) if section.get("ground") else None


def begun(text: str, ground: str, name: str, record: Record, database_name: str = DEFAULT_NAME) -> str:
    """Return a pyproject.toml as that of a product which begins; what differs from the ground's is its own already."""
    document, former = tomlkit.parse(text), _project(tomlkit.parse(ground))
    rename(document, name)
    for key, value in {"version": "0.1.0", "description": f"The product {name}."}.items():
        if _project(document).get(key) == former.get(key):
            _project(document)[key] = value
    return _with_database_name(recorded(tomlkit.dumps(document), record), database_name)


def as_of_product(text: str, product: str, record: Record) -> str:
    """Return the ground's pyproject.toml with what is the product's in it: its name, dependencies and the record.

    A merge of two versions of the ground so finds the product's own lines on both sides, and leaves them as they are.
    """
    document, own = tomlkit.parse(text), tomlkit.parse(product)
    rename(document, str(_project(own)["name"]))
    for key in _IDENTITY:
        if key in _project(document) and key in _project(own):
            _project(document)[key] = _project(own)[key]
    ours, theirs = _extras(own), _extras(document)
    if "product" in ours and "product" in theirs:
        theirs["product"] = ours["product"]
    database_name = own.get("tool", {}).get(_TOOL, {}).get("name", DEFAULT_NAME)
    return _with_database_name(recorded(tomlkit.dumps(document), record), str(database_name))


def called(text: str, name: str) -> str:
    """Return text of the ground's in which the roles and functions of the database have another name than the default.

    The settings app.tenant_id and app.user_id are the session's, and have one name everywhere.
    """
    return _FUNCTION.sub(f"{name}.", _ROLE.sub(f"{name}_", text))


def _with_database_name(text: str, name: str) -> str:
    """Return a pyproject.toml, with a record, that has this name for the database, also where it allows functions."""
    if name == DEFAULT_NAME:
        return text
    document = tomlkit.parse(called(text, name))
    document["tool"][_TOOL]["name"] = name
    return tomlkit.dumps(document)


def recorded(text: str, record: Record) -> str:
    """Return a pyproject.toml with this record, in the place where it stands or at the end."""
    document = tomlkit.parse(text)
    section = document.get("tool", {}).get(_TOOL, {})
    if isinstance(section, Table) and "ground" in section:
        for key, value in record._asdict().items():
            section[key] = value
        return tomlkit.dumps(document)
    lines = "".join(f"{key} = {tomlkit.string(value).as_string()}\n" for key, value in record._asdict().items())
    about = "# The ground that this product stands on; `invoke update` keeps it."
    return f"{text.rstrip()}\n\n{about}\n[tool.{_TOOL}]\n{lines}"


def extras(document: dict[str, Any]) -> list[str]:
    """Return which of the extras that a developer installs there are."""
    return [name for name in ("dev", "product") if name in document["project"].get("optional-dependencies", {})]


def dependencies(document: dict[str, Any]) -> tuple[object, ...]:
    """Return what decides which packages an environment needs; equal where none is to be installed again."""
    project = document["project"]
    own = re.compile(rf"{re.escape(project['name'])}\[")
    optional = {
        name: [each for each in wanted if not own.match(each)]
        for name, wanted in project.get("optional-dependencies", {}).items()
    }
    return project.get("dependencies"), optional, project.get("requires-python"), document.get("build-system")


def rename(document: tomlkit.TOMLDocument, name: str) -> None:
    """Give the project another name, also where an extra asks for others of the project's own."""
    former = f"{_project(document)['name']}["
    _project(document)["name"] = name
    for wanted in _extras(document).values():
        if isinstance(wanted, Array):
            for at, each in enumerate(wanted):
                if isinstance(each, String) and each.startswith(former):
                    wanted[at] = f"{name}[{each.removeprefix(former)}"


def with_version(text: str, version: str) -> str:
    """Return a pyproject.toml with another version of the project."""
    document = tomlkit.parse(text)
    _project(document)["version"] = version
    return tomlkit.dumps(document)


def _project(document: tomlkit.TOMLDocument) -> Table:
    project: Any = document["project"]
    return project  # type: ignore[no-any-return]  # TOML may have anything there; `read` has looked


def _extras(document: tomlkit.TOMLDocument) -> Any:
    return _project(document).get("optional-dependencies", {})
