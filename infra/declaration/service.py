"""A further server, as the product declares it in `infra/product/services.py`; and that with what the settings add."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from infra.config.identity import OUR_SERVICES, SERVICE_NAME, Service
from infra.config.secret import Secret

_NAME_LENGTH = 30
# What the stack itself puts in the names of its objects.
_RESERVED = ("product", "set-aside", "look", "template")
_SETTING = re.compile(r"[A-Z][A-Z0-9_]*")
_PLACEHOLDER = re.compile(r"\{(port|host|data)(?::([a-z0-9:-]+))?\}")
_LAST_PORT = 65_535


@dataclass(frozen=True, kw_only=True)
class ServiceSpec:
    """A server of the product: as a container from `image`, as a plain process by `program`.

    Where one of the two is empty, that backend leaves it out. `ports` are those that it listens on in a container, the
    first one for its users. `environment` and the words of `command` (the image's own where empty) and `program` may
    hold `{port}`, its first port, `{port:8025}`, a further one, `{host}`, the address to listen on, `{data}`, the
    folder of its data, and `{host:redis}` and `{port:redis}`, where it reaches another server. `secrets` names for a
    variable of its environment the setting that holds the value; `up` generates one that is not set. `data_path` is the
    folder in the container whose content is kept. `health` is a command in the container that exits 0 while it serves;
    without one, and without the image's own, it serves when its first port answers. A server is started once those
    that it `depends_on` serve.

    Raises:
        ValueError: a field holds what cannot be used.
    """

    name: str
    ports: tuple[int, ...]
    image: str = ""
    command: tuple[str, ...] = ()
    program: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    data_path: str = ""
    health: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no backend could run, at the line where it is declared."""
        _refuse_name(self.name)
        for words in ("ports", "command", "program", "health", "depends_on"):
            if isinstance(getattr(self, words), str):
                raise ValueError(f"{words} of {self.name} is a text, and has to be a tuple")  # noqa: TRY004
        if not self.ports or not all(1 <= port <= _LAST_PORT for port in self.ports):
            raise ValueError(f"ports of {self.name} has to hold one number from 1 to {_LAST_PORT} or more")
        if len({*self.ports}) < len(self.ports):
            raise ValueError(f"ports of {self.name} has a number twice")
        if not self.image and not self.program:
            raise ValueError(f"{self.name} has neither an image nor a program")
        if self.data_path and not self.data_path.startswith("/"):
            raise ValueError(f"data_path of {self.name} has to begin with /")
        for setting in self.secrets.values():
            if _SETTING.fullmatch(setting) is None:
                raise ValueError(f"secrets of {self.name} names {setting!r}: it is written like MAIL_PASSWORD")

    @property
    def service(self) -> Service:
        """The server's name."""
        return Service(self.name)

    @property
    def port_names(self) -> dict[Service, int]:
        """The name of each port with its number in a container: the first has the server's own."""
        first, *others = self.ports
        return {self.service: first} | {self.service.further(number): number for number in others}

    @property
    def texts(self) -> tuple[str, ...]:
        """What may hold placeholders."""
        return (*self.command, *self.program, *self.environment.values())


def _refuse_name(name: str) -> None:
    if SERVICE_NAME.fullmatch(name) is None or len(name) > _NAME_LENGTH:
        reason = f"is written in small letters, digits and single dashes, at most {_NAME_LENGTH}"
    elif name in OUR_SERVICES:
        reason = "is another than those of the stack's own"
    elif any(f"-{word}-" in f"-{name}-" for word in _RESERVED):
        reason = f"does without {', '.join(_RESERVED)}, which the stack has uses for"
    else:
        return
    raise ValueError(f"name is {name!r}, and the name of a server {reason}")


class ProductService(NamedTuple):
    """A declared server with its port on the host (None: any free one), its image as it is here, and its secrets.

    A secret is the variable of the server's environment, the setting that holds the value, and the value.
    """

    declared: ServiceSpec
    image: str
    ports: tuple[int | None, ...]
    secrets: tuple[tuple[str, str, Secret], ...] = ()

    @property
    def service(self) -> Service:
        """The server's name."""
        return self.declared.service

    @property
    def host_ports(self) -> dict[Service, int | None]:
        """The name of each port with its number on the host."""
        return dict(zip(self.declared.port_names, self.ports, strict=True))

    def on_ports(self, ports: Mapping[Service, int]) -> "ProductService":
        """Return the same server on these ports."""
        return self._replace(ports=tuple(ports.get(name, own) for name, own in self.host_ports.items()))


class Places(NamedTuple):
    """What placeholders stand for: the address to listen on, the folder of data, and where each server is reached."""

    own: Service
    listen: str
    data: str
    hosts: Mapping[Service, str]
    ports: Mapping[Service, int | None]

    def fill(self, text: str) -> str:
        """Put in what the placeholders of a text stand for.

        Raises:
            ValueError: one names a server or port that is not declared.
        """
        return _PLACEHOLDER.sub(self._value, text)

    def _value(self, found: re.Match[str]) -> str:
        kind, of = found[1], found[2] or ""
        port = self.own.further(int(of)) if of.isdigit() else Service(of or self.own)
        if kind == "data" and not of:
            return self.data
        if kind == "host" and not of:
            return self.listen
        answer = {"host": self.hosts, "port": self.ports}.get(kind, {}).get(port)
        if answer is None:
            raise ValueError(f"{self.own} refers to {found[0]}, and no server or port of that name is declared")
        return str(answer)


def start_order(services: Iterable[ServiceSpec]) -> dict[Service, int]:
    """Return for each server at which turn it is started: one after the last of those that it depends on.

    Raises:
        ValueError: a server depends on one that is not declared, or on itself by way of others.
    """
    declared = {spec.service: spec for spec in services}
    turns: dict[Service, int] = {}

    def turn(name: Service, above: tuple[Service, ...]) -> int:
        if name in OUR_SERVICES:
            return 0
        if name in above:
            raise ValueError(f"{' depends on '.join((*above[above.index(name) :], name))}, so that none can be first")
        if name not in declared:
            raise ValueError(f"{above[-1]} depends on {name}, which is not declared")
        if name not in turns:
            needed = (turn(Service(other), (*above, name)) for other in declared[name].depends_on)
            turns[name] = max((1 + each for each in needed), default=0)
        return turns[name]

    for name in declared:
        turn(name, ())
    return turns
