"""What is asked of `generate`. Light: it is read before anything of the comparison is imported."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from schema.errors import MigrationError

TITLE_LENGTH = 100
"""Longest title in characters; with indentation and quotes it fits the line of a docstring."""

Ask = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of `generate`.

    `renames` are as on the command line: `old:new`, `table.column:new`, several separated by commas. With `check`
    nothing is written. `ask` puts a question to somebody who is there; None where nobody is. `say` is called for each
    conversion in the migration that may not keep every value.
    """

    message: str = ""
    renames: tuple[str, ...] = ()
    allow_drop: bool = False
    check: bool = False
    ask: Ask | None = None
    say: Callable[[str], object] = lambda _: None

    @property
    def title(self) -> str:
        """The message as it stands in a docstring: neither escapes nor its own quotes inside.

        Raises:
            MigrationError: it is no title.
        """
        title = " ".join(self.message.split()).replace('"', "'").replace("\\", "/")
        if self.check:
            return title or "check"
        if not re.search(r"\w", title) or len(title) > TITLE_LENGTH:
            raise MigrationError(
                f"A migration needs a title of 1 to {TITLE_LENGTH} characters that says what it changes, such as "
                '`invoke generate -m "add invoices"`.'
            )
        return title

    @property
    def plain(self) -> bool:
        """Whether nothing is said beside the title: what has changed is all that matters.

        Raises:
            MigrationError: the title is none.
        """
        return bool(self.title) and not self.renames and not self.allow_drop

    @property
    def command(self) -> str:
        """The command that makes the same request."""
        return f'invoke generate -m "{self.title}"' + "".join(f" --rename {said}" for said in self.renames)
