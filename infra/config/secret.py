"""A value that must not be shown."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """Text that neither `str` nor `repr` shows; `reveal` gives it to the one that needs it."""

    _value: str = ""

    def reveal(self) -> str:
        """Return the text itself."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __str__(self) -> str:
        return "***" if self._value else ""

    __repr__ = __str__
