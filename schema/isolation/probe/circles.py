"""The order in which rows can be made: what is needed comes first, and a circle at once."""

from collections.abc import Collection, Iterable, Mapping


def groups(needs: Mapping[str, Collection[str]], wanted: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the wanted and all that they need, each after what it needs; those that need each other are one group.

    These are the strongly connected components (Tarjan, Depth-first search and linear graph algorithms, 1972).
    """
    found: list[tuple[str, ...]] = []
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_nodes: list[str] = []

    def visit(name: str) -> None:
        number[name] = lowest[name] = len(number)
        open_nodes.append(name)
        for other in needs.get(name, ()):
            if other not in number:
                visit(other)
                lowest[name] = min(lowest[name], lowest[other])
            elif other in open_nodes:
                lowest[name] = min(lowest[name], number[other])
        if lowest[name] == number[name]:
            start = open_nodes.index(name)
            found.append(tuple(sorted(open_nodes[start:])))
            del open_nodes[start:]

    for name in wanted:
        if name not in number:
            visit(name)
    return found
