"""How one server of the stack is run as a process: what both have in common."""

import hashlib
import signal
from dataclasses import dataclass
from pathlib import Path

from infra.config.identity import Service
from infra.config.secret import Secret


@dataclass(frozen=True, slots=True)
class Launch:
    """A server as a process: `command` in `directory`; `config`, then `password_line`, on its standard input."""

    service: Service
    directory: Path
    command: tuple[str, ...]
    config: str
    password_line: Secret
    port: int
    stop_signal: signal.Signals
    stop_seconds: float
    environment: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, Secret], ...] = ()
    further_ports: tuple[tuple[int, int], ...] = ()

    @property
    def log(self) -> Path:
        """The server's log, beside its folder and not in it."""
        return self.directory.parent / f"{self.service}.log"

    @property
    def notes(self) -> Path:
        """Where it is written down what was started."""
        return self.directory.parent / f"{self.service}.json"

    @property
    def config_hash(self) -> str:
        """Digest of everything that, changed, asks for a restart."""
        variables = (*self.environment, *((key, secret.reveal()) for key, secret in self.secrets))
        words = (*self.command, self.config, self.password_line.reveal(), *(f"{key}={v}" for key, v in variables))
        return hashlib.sha256("\0".join(words).encode("utf-8", "surrogateescape")).hexdigest()[:16]
