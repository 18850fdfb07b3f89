"""Domains: a type with a default and constraints of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from infra.config.sql_text import quote
from schema.errors import MigrationError
from schema.migration.diff.spelling import reproducible


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain as the catalogue has it; `constraints` are its CHECKs by their names."""

    name: str
    type: str
    collation: str | None
    default: str | None
    nullable: bool
    constraints: Mapping[str, str]

    @property
    def key(self) -> tuple[str, str, str]:
        """The domain's name in its schema."""
        return ("domain", "", self.name)

    def create(self, spelled: Callable[[str], str] = reproducible) -> tuple[str, ...]:
        """Return the statements that make the domain, its expressions as `spelled` writes them."""
        collation = "" if self.collation is None else f" COLLATE {quote(self.collation)}"
        default = "" if self.default is None else f" DEFAULT {spelled(self.default)}"
        null = "" if self.nullable else " NOT NULL"
        made = f"CREATE DOMAIN {quote(self.name)} AS {self.type}{collation}{default}{null}"
        return (made, *(self._adding(name, spelled) for name in self.constraints))

    def drop(self) -> tuple[str, ...]:
        """Return the statements that remove the domain."""
        return (f"DROP DOMAIN {quote(self.name)}",)

    def alter(self, former: "Domain") -> tuple[str, ...]:
        """Return the statements that make this of a former one.

        Raises:
            MigrationError: it is of another type, which PostgreSQL cannot change.
        """
        if (self.type, self.collation) != (former.type, former.collation):
            raise MigrationError(
                f"Domain {self.name} changes from {former.type} to {self.type}, and PostgreSQL cannot change what a "
                "domain is made of. Declare it under another name: the columns change to that, and the former one is "
                "dropped. Nothing was written."
            )
        head, default, null = f"ALTER DOMAIN {quote(self.name)}", self.default, "DROP" if self.nullable else "SET"
        gone = [name for name, said in former.constraints.items() if self.constraints.get(name) != said]
        made = [name for name, said in self.constraints.items() if former.constraints.get(name) != said]
        new = "DROP DEFAULT" if default is None else f"SET DEFAULT {reproducible(default)}"
        return (
            *(f"{head} DROP CONSTRAINT {quote(name)}" for name in gone),
            *((f"{head} {new}",) if default != former.default else ()),
            *((f"{head} {null} NOT NULL",) if self.nullable != former.nullable else ()),
            *(self._adding(name, reproducible) for name in made),
        )

    def _adding(self, name: str, spelled: Callable[[str], str]) -> str:
        check = spelled(self.constraints[name])
        return f"ALTER DOMAIN {quote(self.name)} ADD CONSTRAINT {quote(name)} {check}"
