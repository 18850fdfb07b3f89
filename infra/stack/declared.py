"""The whole stack as it is declared: ours, and the servers of `infra/product/services.py`, with what .env adds."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from secrets import token_urlsafe

from infra.config.env_writer import change_env_file
from infra.config.errors import ConfigError
from infra.config.extensions import declared_extensions
from infra.config.identity import OUR_SERVICES, Project, Service
from infra.config.product_module import FOLDER, explain, load_module, place
from infra.config.secret import Secret
from infra.config.settings import CHECKOUT, Settings, port_number, read_env_file
from infra.declaration.service import ProductService, ServiceSpec, start_order
from infra.declaration.spec import StackSpec, build_stack

_FILE = place(str(FOLDER / "services.py"), None)
UNSET = Secret("to-be-generated")


def declare_stack(
    settings: Settings,
    project: Project,
    *,
    durable: bool = True,
    values: Mapping[str, str] | None = None,
    or_else: Secret | None = None,
) -> StackSpec:
    """Declare the stack that the settings and the product ask for.

    `values` are those of the product's own settings, by default the environment's over .env's; `or_else` stands for a
    secret that is not set.

    Raises:
        ConfigError: as `build_stack` does, or a server of the product cannot be had as it is declared.
    """
    stack = build_stack(settings, project, durable=durable)._replace(extensions=declared_extensions())
    services = product_services()
    if not services:
        return stack
    values = read_values() if values is None else values
    stack = stack._replace(services=tuple(_with_values(spec, values, or_else) for spec in services))
    _refuse_equal_ports(stack)
    try:
        _ = stack.containers  # which puts in what placeholders stand for
    except ValueError as error:
        raise _faulty(error) from None
    return stack


def product_services() -> tuple[ServiceSpec, ...]:
    """Return what the product declares as `services`.

    Raises:
        ConfigError: names the file, and the line where there is one.
    """
    try:
        module = load_module("services")
        declared = tuple(getattr(module, "services", ()))
    except (Exception, SystemExit) as error:  # whatever the module does at its import
        where, reason = explain(error, "services")
        raise ConfigError(f"{where}: the product's servers cannot be declared: {reason}. Correct it there.") from None
    try:
        _refuse_faulty(declared)
    except (TypeError, ValueError) as error:
        raise _faulty(error) from None
    return declared


def _refuse_faulty(declared: tuple[ServiceSpec, ...]) -> None:
    for spec in declared:
        if not isinstance(spec, ServiceSpec):
            raise TypeError(f"`services` holds {type(spec).__name__}, and not only ServiceSpec")
    names = [spec.name for spec in declared]
    if len({*names}) < len(names):
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)} is declared twice")
    start_order(declared)


def known_services(recorded: Iterable[Service]) -> tuple[Service, ...]:
    """Return the servers that a command may name: ours, those on record, and those declared, if they can be read."""
    try:
        declared = tuple(spec.service for spec in product_services())
    except ConfigError:
        declared = ()
    found = (*OUR_SERVICES, *(name for name in recorded if ":" not in name), *declared)
    return tuple(dict.fromkeys(found))


def generate_secrets(checkout: Path) -> tuple[str, ...]:
    """Add the secrets of the product's servers that nobody has set to .env; return their keys.

    Raises:
        ConfigError: .env cannot be written.
    """
    wanted = dict.fromkeys(setting for spec in product_services() for setting in spec.secrets.values())
    if not wanted:
        return ()
    values = read_values(checkout)
    missing = tuple(key for key in wanted if not values.get(key))
    if missing:
        change_env_file(checkout / ".env", {key: token_urlsafe(24) for key in missing})
    return missing


def read_values(checkout: Path = CHECKOUT) -> dict[str, str]:
    """Return every key of .env and the environment, which wins."""
    return {key: text for key, (_, text) in read_env_file(checkout / ".env").items()} | os.environ


def _with_values(spec: ServiceSpec, values: Mapping[str, str], or_else: Secret | None) -> ProductService:
    ports = tuple(_port(name.port_setting, values.get(name.port_setting, "auto")) for name in spec.port_names)
    secrets = []
    for variable, setting in spec.secrets.items():
        secret = Secret(values.get(setting, "")) or or_else
        if not secret:
            raise ConfigError(
                f"{setting} is missing in .env and the environment, and {spec.name} needs it. `invoke up` adds it to "
                ".env with a generated value."
            )
        secrets.append((variable, setting, secret))
    return ProductService(spec, spec.image, ports, tuple(secrets))


def _port(key: str, text: str) -> int | None:
    try:
        return port_number(text)
    except ValueError as error:
        raise ConfigError(f"{key} cannot be used: {error}, or `auto`. Correct it and run the command again.") from None


def _refuse_equal_ports(stack: StackSpec) -> None:
    taken: dict[int, Service] = {}
    for name, port in stack.ports.items():
        if port is not None and taken.setdefault(port, name) != name:
            raise ConfigError(
                f"{taken[port].port_setting} and {name.port_setting} are both {port}, and only one server can listen "
                "there. Set one of them to another port or to `auto`."
            )


def _faulty(error: Exception) -> ConfigError:
    return ConfigError(f"{_FILE}: the product's servers cannot be declared: {error}. Correct it there.")
