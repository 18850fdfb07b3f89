"""How a table is stored: its options, and whether it is logged."""

from dataclasses import dataclass

from infra.config.sql_text import quote


@dataclass(frozen=True, slots=True)
class Storage:
    """What the catalogue says: options as `name=value`, in the order of their names."""

    unlogged: bool = False
    options: tuple[str, ...] = ()

    def make(self, table: str) -> str:
        """Return the statement that makes a table of no columns which is stored so."""
        options = f" WITH ({', '.join(self.options)})" if self.options else ""
        return f"CREATE {'UNLOGGED ' if self.unlogged else ''}TABLE {quote(table)} (){options}"

    def alter(self, table: str, former: "Storage") -> tuple[str, ...]:
        """Return the statements that store a table so which was stored otherwise."""
        head, names = f"ALTER TABLE {quote(table)}", [option.partition("=")[0] for option in self.options]
        gone = [name for name, *_ in (option.partition("=") for option in former.options) if name not in names]
        made = [option for option in self.options if option not in former.options]
        logged = "SET UNLOGGED" if self.unlogged else "SET LOGGED"
        return (
            *((f"{head} {logged}",) if self.unlogged != former.unlogged else ()),
            *((f"{head} RESET ({', '.join(gone)})",) if gone else ()),
            *((f"{head} SET ({', '.join(made)})",) if made else ()),
        )
