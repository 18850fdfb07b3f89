"""Invoke's program with help for people: commands in groups, the help of each, near names for what is mistyped."""

import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Any

from invoke.exceptions import Exit, ParseError
from invoke.parser.context import ParserContext
from invoke.program import Program
from invoke.tasks import Task
from invoke.terminals import pty_size

from infra.commands import product
from infra.config import streams

# What users typed before, and what it is called now.
_FORMER = {"--i-mean": "--confirm-database"}
# Commands that a word may follow, which Invoke knows only of words that must: the option that the word is for.
_FOLLOWED = {"update": "--tag"}
_LEAST_WIDTH = 30  # of the texts beside a column of names, in characters
# What Invoke's parser says (invoke/parser/parser.py, ParseMachine), and the name in it.
_UNKNOWN = re.compile(r"No idea what '(.*)' is!", re.DOTALL)
_VALUE_MISSING = re.compile(r"Flag <Argument: ([^ >]+).* needed value")
_ARGUMENTS_MISSING = re.compile(r"did not receive required positional arguments: (.*)")


class Commands(Program):
    """Invoke's own program on the project's commands."""

    def parse_tasks(self) -> None:
        """Read the commands of the line; where help is asked for, show that and do nothing else.

        Raises:
            ParseError: a command or an option is unknown, or lacks what it needs.
        """
        words: list[str] = self.core.unparsed
        words[:] = self._with_options(map(_today, words))
        if self.args.help.value:  # `invoke --help up`: what follows is not run
            words.clear()
        if not {"--help", "-h"}.isdisjoint(words):
            self._help_on(words)
        try:
            super().parse_tasks()
        except ParseError as error:
            raise ParseError(self._explained(error)) from None
        for context in self.tasks:
            if option := _unknown_option(context):
                raise ParseError(self._on_unknown(context, option))

    def parse_cleanup(self) -> None:
        """Do what Invoke's own options ask for.

        Raises:
            ParseError: help is asked for on a command that does not exist.
        """
        try:
            super().parse_cleanup()
        except ParseError as error:
            raise ParseError(self._explained(error)) from None

    def no_tasks_given(self) -> None:
        """List the commands where none is given."""
        self.list_tasks()
        raise Exit

    def list_flat(self) -> None:
        """List the commands in their groups, and say where more is found.

        This is the page of a bare `invoke` too. That of a bare `invoke --help` cannot be ours: Invoke prints its own
        options and ends before it reads this project (`Program.parse_collection`).
        """
        with _readable():
            self._print_list()

    def _print_list(self) -> None:
        print("Usage: invoke COMMAND [options] [COMMAND [options] …]\n")
        names = self.collection.task_names
        groups = groupby(((name, self.collection[name]) for name in names), lambda item: _group(item[1]))
        width = max(map(len, names))
        for title, tasks in groups:
            print(title)
            _print_columns(((name, _first_line(task)) for name, task in tasks), width)
            print()
        print("`invoke COMMAND --help` shows what a command does and its options.")
        print("`invoke --help` shows Invoke's own options; infra/commands/README.md explains the rest.")

    def print_task_help(self, name: str) -> None:
        """Print what a command does, its arguments and its options."""
        with _readable():
            self._print_help(name)

    def _print_help(self, name: str) -> None:
        context = self.parser.contexts[name]
        arguments = [(each.name.upper(), each.help or "") for each in context.positional_args]
        options = [
            (_spell(context, flag), each.help or "") for flag, each in context.flags.items() if not each.positional
        ]
        words = ["invoke", name, *(argument for argument, _ in arguments), *(["[options]"] if options else [])]
        print(f"Usage: {' '.join(words)}")
        for paragraph in (inspect.getdoc(self.collection[name]) or "").split("\n\n"):
            print("", *textwrap.wrap(paragraph, max(_LEAST_WIDTH, pty_size()[0] - 1)), sep="\n")
        for title, rows in (("Arguments", arguments), ("Options", options)):
            if rows:
                print(f"\n{title}:")
                _print_columns(rows, max(len(left) for left, _ in rows))

    def _with_options(self, words: Iterable[str]) -> Iterator[str]:
        """Yield words with an option before the one that may follow a command without it."""
        former = ""
        for word in words:
            is_argument = former in _FOLLOWED and not word.startswith("-") and word not in self.collection.tasks
            yield f"{_FOLLOWED[former]}={word}" if is_argument else word
            former = word

    def _help_on(self, words: list[str]) -> None:
        """Print the help of the first command that is followed by a word that asks for it.

        Raises:
            Exit: it was printed.
        """
        self.parser = self._make_parser()
        for at, word in enumerate(words):
            context = self._context_after(words[:at]) if word in {"--help", "-h"} else None
            if context and (word == "--help" or word not in context.flags):  # a command may have its own -h
                self.print_task_help(context.name) if context.name else self.list_tasks()
                raise Exit

    def _context_after(self, words: list[str]) -> ParserContext:
        """Return the command that a word after these belongs to; without a name where there is none."""
        try:
            result = self.parser.parse_argv(words)
        except ParseError as error:
            return error.context or ParserContext()
        return result[-1]

    def _explained(self, error: ParseError) -> str:
        """Return in words for people what Invoke's parser has refused."""
        context, text = error.context or ParserContext(), str(error)
        usage = (
            f"`invoke {context.name} --help` shows how it is used." if context.name else "`invoke --list` lists all."
        )
        if option := _unknown_option(context):
            return self._on_unknown(context, option)
        if unknown := _UNKNOWN.search(text):
            return self._on_unknown(context, unknown[1])
        if missing := _VALUE_MISSING.search(text):
            return f"{context.name} got no value for its option --{missing[1].replace('_', '-')}. {usage}"
        if missing := _ARGUMENTS_MISSING.search(text):
            return f"{context.name} got no {missing[1].replace(chr(39), '').upper()}. {usage}"
        return f"{text.rstrip('.')}. {usage}"

    def _on_unknown(self, context: ParserContext, word: str) -> str:
        if context.name and word.startswith("-"):
            known = [name for flag in context.flags for name in context.names_for(flag) if name.startswith("--")]
            return (
                f"{context.name} has no option {word}.{_near(word, known, '')} `invoke {context.name} --help` lists "
                "its options."
            )
        near = _near(word, self.collection.task_names, "invoke ")
        return f"There is no command {word!r}.{near} `invoke --list` lists all."


@contextmanager
def _readable() -> Iterator[None]:
    """Let a page end where its reader has enough, as `head` does."""
    streams.make_usable()
    try:
        yield
    except BrokenPipeError:
        pass
    finally:
        streams.flush()


def _unknown_option(context: ParserContext) -> str:
    """Return the unknown option that Invoke has taken for an argument, which it does where one is due; else nothing."""
    return next((each.value for each in context.positional_args if (each.value or "").startswith("-")), "")


def _near(word: str, known: Iterable[str], before: str) -> str:
    """Return the question whether one of the known names was meant; empty where none is near."""
    from difflib import get_close_matches

    names = [f"`{before}{name}`" for name in get_close_matches(word, known)]
    return f" Did you mean {' or '.join(names)}?" if names else ""


def _today(word: str) -> str:
    """Return an option as it is called now; warn of its former name."""
    option, equals, value = word.partition("=")
    if option not in _FORMER:
        return word
    print(f"{option} is called {_FORMER[option]} now; its former name is removed in the next version", file=sys.stderr)
    return f"{_FORMER[option]}{equals}{value}"


def _group(task: Task[Any]) -> str:
    """Return the title of the group that a command is listed in: the first line of its module, or of the product's."""
    module = task.body.__module__
    return _first_line(sys.modules[module if module.startswith(f"{__package__}.") else product.MODULE]) or "Yours"


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0].removesuffix(".")


def _spell(context: ParserContext, flag: str) -> str:
    """Return the names of an option, the short one first, and that it takes a value where it does."""
    names = sorted(context.names_for(flag), key=len)
    return ", ".join(names) + (" VALUE" if context.flags[flag].takes_value else "")


def _print_columns(rows: Iterable[tuple[str, str]], width: int) -> None:
    """Print names and, beside them, texts that are wrapped at the terminal's width."""
    indent = " " * (width + 4)
    for name, text in rows:
        lines = textwrap.wrap(text, max(_LEAST_WIDTH, pty_size()[0] - len(indent) - 1)) or [""]
        print(f"  {name:{width}}  {lines[0]}".rstrip(), *(f"{indent}{line}" for line in lines[1:]), sep="\n")
