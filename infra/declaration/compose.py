"""Read the stack's declaration as a compose file (Compose Specification).

Secrets are named and not written: compose takes their values from its own environment or `.env`.
"""

import json
from datetime import timedelta
from typing import Any

from infra.config.endpoints import HOST
from infra.declaration.spec import ContainerSpec, StackSpec


def compose_model(spec: StackSpec) -> dict[str, Any]:
    """Return the compose file's content as plain data."""
    project = {key: _literal(value) for key, value in spec.labels.items()}
    volumes = [declared.volume for declared in spec.containers if declared.volume]
    return {
        "name": spec.project.id,
        "services": {declared.service: _service(declared, spec, project) for declared in spec.containers},
        "networks": {"default": {"name": spec.project.id, "labels": project}},
        "volumes": {volume: {"name": volume, "labels": project} for volume in volumes},
    }


def render_compose(spec: StackSpec) -> str:
    """Return the compose file's text: JSON, which every YAML reader reads (YAML 1.2, 1.3)."""
    return json.dumps(compose_model(spec), indent=2) + "\n"


def compose_environment(spec: StackSpec) -> dict[str, str]:
    """Return the variables that the compose file asks for, with their secret values."""
    return {variable: secret.reveal() for declared in spec.containers for _, variable, secret in declared.secrets}


def _service(declared: ContainerSpec, spec: StackSpec, project: dict[str, str]) -> dict[str, Any]:
    health = declared.health
    service: dict[str, Any] = {
        "container_name": declared.name,
        "image": declared.image,
        "command": [_literal(word) for word in declared.command],
        "environment": {key: _literal(value) for key, value in declared.environment}
        | {key: f"${{{variable}:?set it in .env}}" for key, variable, _ in declared.secrets},
        "ports": [{"host_ip": HOST, "target": target} | _published(port) for target, port in declared.ports],
        "labels": project | declared.labels,
        "shm_size": declared.shm_size,
        "stop_grace_period": _duration(declared.stop_timeout),
    }
    # What is not declared is the image's own.
    if not declared.command:
        del service["command"]
    if declared.stop_signal:
        service["stop_signal"] = declared.stop_signal
    if health is not None:
        service["healthcheck"] = {
            "test": ["CMD", *map(_literal, health.command)],
            "interval": _duration(health.interval),
            "timeout": _duration(health.timeout),
            "start_period": _duration(health.start_period),
            "retries": health.retries,
        }
    if declared.depends_on:
        service["depends_on"] = {name: {"condition": _condition(name, spec)} for name in declared.depends_on}
    if not declared.data_path:
        return service
    if declared.volume is None:
        return service | {"tmpfs": [declared.mount_path]}
    return service | {"volumes": [{"type": "volume", "source": declared.volume, "target": declared.mount_path}]}


def _published(port: int | None) -> dict[str, str]:
    return {} if port is None else {"published": str(port)}


def _condition(name: str, spec: StackSpec) -> str:
    checked = {declared.service for declared in spec.containers if declared.health}
    return "service_healthy" if name in checked else "service_started"


def _literal(text: str) -> str:
    """Double the dollar signs: compose replaces variables in every value, the SDK in none."""
    return text.replace("$", "$$")


def _duration(duration: timedelta) -> str:
    return f"{duration // timedelta(milliseconds=1)}ms"
