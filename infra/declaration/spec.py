"""The one declaration of the stack: frozen and pure.

The Docker SDK, the compose file and the embedded processes are readings of it. Durations are `timedelta`, sizes are
bytes; each reading converts. What every command loads is a named tuple and no dataclass where that is enough: Python
makes one in an eighth of the time.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple

from infra.config.errors import ConfigError
from infra.config.identity import Project, Service
from infra.config.libpq import sslmode
from infra.config.secret import Secret
from infra.config.settings import MAINTENANCE_DATABASE, Role, Settings, SslMode
from infra.config.versions import RedisVersion
from infra.declaration.service import Places, ProductService, start_order

LOCALE = "C.UTF-8"
ENCODING = "UTF8"
_WITHOUT_VERSION = 16  # whose data has no version in its name
_FOLDER_OF_ITS_OWN = 18  # the first version of the official image to have one for each version
_NAME_BYTES = 63  # PostgreSQL manual, 4.1.1
# What the server keeps for superusers (superuser_reserved_connections), and room for migrations, a shell and a backup.
_CONNECTIONS_BESIDE_THE_BUDGET = 3 + 17


PROJECT_LABEL = "groundwork.project"
PATH_LABEL = "groundwork.path"
SERVICE_LABEL = "groundwork.service"
HASH_LABEL = "groundwork.config-hash"
IMAGE_LABEL = "groundwork.image"
# Which port in the container is the first, where it has several.
PORT_LABEL = "groundwork.port"
STANDARD_PORT = {Service.POSTGRES: 5432, Service.REDIS: 6379}


class HealthCheck(NamedTuple):
    """A command inside the container that exits 0 while the server serves."""

    command: tuple[str, ...]
    interval: timedelta
    timeout: timedelta = timedelta(seconds=3)
    start_period: timedelta = timedelta(seconds=30)
    retries: int = 5


class ContainerSpec(NamedTuple):
    """A server as a container: what the Docker SDK and the compose file both read.

    `secrets` are environment variables whose values are shown nowhere. `init_only` names those that the image reads
    at the first start alone, so that another value is no reason to recreate the container. The volume is mounted at
    `mount_path`, and the server's own folder, `data_path`, is that or lies below it.
    """

    service: Service
    name: str
    image: str
    command: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    secrets: tuple[tuple[str, str, Secret], ...]
    init_only: frozenset[str]
    container_port: int
    port: int | None
    mount_path: str
    data_path: str
    volume: str | None
    health: HealthCheck | None
    shm_size: int
    stop_signal: str
    stop_timeout: timedelta
    further_ports: tuple[tuple[int, int | None], ...] = ()
    depends_on: tuple[Service, ...] = ()

    @property
    def ports(self) -> tuple[tuple[int, int | None], ...]:
        """Each port in the container, with its port on the host."""
        return ((self.container_port, self.port), *self.further_ports)

    @property
    def port_names(self) -> dict[Service, int]:
        """The name of each port with its number in the container."""
        further = {self.service.further(inside): inside for inside, _ in self.further_ports}
        return {self.service: self.container_port} | further

    @property
    def labels(self) -> dict[str, str]:
        """What says which container of its project it is, and made to which declaration, from which image."""
        made = {SERVICE_LABEL: str(self.service), HASH_LABEL: self.config_hash, IMAGE_LABEL: self.image}
        return made | ({PORT_LABEL: str(self.container_port)} if self.further_ports else {})

    @property
    def config_hash(self) -> str:
        """Digest of everything that, changed, asks for a new container."""
        declared = {
            "image": self.image,
            "command": self.command,
            "environment": [pair for pair in self.environment if pair[0] not in self.init_only],
            "secrets": [(key, secret.reveal()) for key, _, secret in self.secrets if key not in self.init_only],
            "ports": (self.container_port, self.port, *self.further_ports),
            "data": (self.mount_path, self.volume),
            "health": repr(self.health),
            "shm_size": self.shm_size,
            "stop": (self.stop_signal, self.stop_timeout.total_seconds()),
        }
        return hashlib.sha256(json.dumps(declared, sort_keys=True).encode()).hexdigest()[:16]


class PostgresSpec(NamedTuple):
    """The PostgreSQL server: who administers it, where it listens, with which parameters it starts."""

    version: int
    image: str
    port: int | None
    user: str
    password: Secret
    parameters: tuple[tuple[str, str], ...]
    initdb: tuple[str, ...] = (f"--encoding={ENCODING}", f"--locale={LOCALE}")
    shm_size: int = 256 * 1024 * 1024
    stop_timeout: timedelta = timedelta(seconds=30)

    @property
    def arguments(self) -> tuple[str, ...]:
        """The parameters as the server's command line takes them."""
        return tuple(word for name, value in self.parameters for word in ("-c", f"{name}={value}"))


class RedisSpec(NamedTuple):
    """The Redis server: where it listens, its password and its configuration without it."""

    version: RedisVersion
    image: str
    port: int | None
    password: Secret
    directives: tuple[tuple[str, str], ...]
    stop_timeout: timedelta = timedelta(seconds=10)


class StackSpec(NamedTuple):
    """What `up` brings up. `durable` is false for the tests' stack: its data is in memory and never synced.

    `beside` says that new data of PostgreSQL may begin where there is data of another version alone.
    """

    project: Project
    postgres: PostgresSpec
    redis: RedisSpec
    durable: bool
    start_timeout: timedelta
    # Each check starts a process in a container; what waits for the servers does not wait for these.
    health_interval: timedelta = timedelta(seconds=5)
    beside: bool = False
    # What PostgreSQL has to have for the product.
    extensions: tuple[str, ...] = ()
    # The product's servers, and those that the backend leaves out, each with the reason.
    services: tuple[ProductService, ...] = ()
    left_out: tuple[tuple[Service, str], ...] = ()

    @property
    def containers(self) -> tuple[ContainerSpec, ...]:
        """The stack read as containers."""
        return (self._postgres_container(), self._redis_container(), *map(self._product_container, self.services))

    @property
    def labels(self) -> dict[str, str]:
        """What makes a container, volume or network the project's."""
        return {PROJECT_LABEL: self.project.id, PATH_LABEL: self.project.path}

    def port(self, service: Service) -> int | None:
        """Return the declared port of a service; None where any free one will do."""
        return self.ports[service]

    @property
    def ports(self) -> dict[Service, int | None]:
        """The declared port by name; None where any free one will do."""
        own = {Service.POSTGRES: self.postgres.port, Service.REDIS: self.redis.port}
        return own | {name: port for service in self.services for name, port in service.host_ports.items()}

    def stages(self) -> tuple["StackSpec", ...]:
        """Return the stack as it grows: each time with the servers whose dependencies serve by then."""
        turns = start_order(service.declared for service in self.services)
        return tuple(
            self._replace(services=tuple(s for s in self.services if turns[s.service] <= turn))
            for turn in sorted({0, *turns.values()})
        )

    def without(self, reasons: Mapping[Service, str]) -> "StackSpec":
        """Return the stack without these servers, and without those that depend on them."""
        turns, out = start_order(service.declared for service in self.services), dict(reasons)
        for service in sorted(self.services, key=lambda each: turns[each.service]):
            missing = next((name for name in service.declared.depends_on if name in out), None)
            if missing is not None:
                out.setdefault(service.service, f"it depends on {missing}, which is left out")
        kept = tuple(service for service in self.services if service.service not in out)
        return self._replace(services=kept, left_out=tuple(out.items()))

    def on_ports(self, ports: Mapping[Service, int]) -> "StackSpec":
        """Return the same stack with these ports."""
        return self._replace(
            postgres=self.postgres._replace(port=ports[Service.POSTGRES]),
            redis=self.redis._replace(port=ports[Service.REDIS]),
            services=tuple(service.on_ports(ports) for service in self.services),
        )

    def with_images(self, images: dict[Service, str]) -> "StackSpec":
        """Return the same stack from these images."""
        return self._replace(
            postgres=self.postgres._replace(image=images[Service.POSTGRES]),
            redis=self.redis._replace(image=images[Service.REDIS]),
            services=tuple(s._replace(image=images.get(s.service, s.image)) for s in self.services),
        )

    def _volume(self, data: str) -> str | None:
        return f"{self.project.id}-{data}" if self.durable else None

    def _postgres_container(self) -> ContainerSpec:
        postgres = self.postgres
        mount_path, data_path = container_paths(postgres.version)
        return ContainerSpec(
            service=Service.POSTGRES,
            name=f"{self.project.id}-{Service.POSTGRES}",
            image=postgres.image,
            command=("postgres", *postgres.arguments),
            environment=(
                ("POSTGRES_USER", postgres.user),
                ("POSTGRES_DB", MAINTENANCE_DATABASE),
                ("POSTGRES_INITDB_ARGS", " ".join(postgres.initdb)),
            ),
            secrets=(("POSTGRES_PASSWORD", "POSTGRES_PASSWORD", postgres.password),),
            init_only=frozenset({"POSTGRES_PASSWORD", "POSTGRES_INITDB_ARGS"}),
            container_port=STANDARD_PORT[Service.POSTGRES],
            port=postgres.port,
            mount_path=mount_path,
            data_path=data_path,
            volume=self._volume(versioned(Service.POSTGRES, postgres.version)),
            # Over TCP: the image's init phase serves on the socket alone.
            health=HealthCheck(("pg_isready", "-q", "-h", "127.0.0.1", "-U", postgres.user), self.health_interval),
            shm_size=postgres.shm_size,
            stop_signal="SIGINT",
            stop_timeout=postgres.stop_timeout,
        )

    def _redis_container(self) -> ContainerSpec:
        redis = self.redis
        # Valkey's image has both names of its programs, and changes the user for its own alone.
        name = "valkey" if redis.version is RedisVersion.VALKEY else "redis"
        arguments = " ".join(f"--{name} '{value}'" for name, value in redis.directives)
        return ContainerSpec(
            service=Service.REDIS,
            name=f"{self.project.id}-{Service.REDIS}",
            image=redis.image,
            # The password goes in by standard input, since the host shows a container's arguments to everybody. The
            # image's entrypoint is called a second time, because it changes the user for redis-server alone.
            command=("sh", "-c", f"exec docker-entrypoint.sh {name}-server {arguments} - {_REQUIREPASS}"),
            environment=(),
            secrets=(("REDISCLI_AUTH", "REDIS_PASSWORD", redis.password),),
            init_only=frozenset(),
            container_port=STANDARD_PORT[Service.REDIS],
            port=redis.port,
            mount_path="/data",
            data_path="/data",
            volume=self._volume(Service.REDIS),
            # -e: without it an unauthorised ping exits 0.
            health=HealthCheck((f"{name}-cli", "-e", "ping"), self.health_interval),
            shm_size=64 * 1024 * 1024,
            stop_signal="SIGTERM",
            stop_timeout=redis.stop_timeout,
        )

    def _product_container(self, service: ProductService) -> ContainerSpec:
        declared, name = service.declared, service.service
        inside = STANDARD_PORT | {port: n for each in self.services for port, n in each.declared.port_names.items()}
        hosts = {port: port.partition(":")[0] for port in inside}
        fill = Places(name, "0.0.0.0", declared.data_path, hosts, inside).fill  # noqa: S104 - inside a container
        return ContainerSpec(
            service=name,
            name=f"{self.project.id}-{name.object_name}",
            image=service.image,
            command=tuple(map(fill, declared.command)),
            environment=tuple((key, fill(text)) for key, text in declared.environment.items()),
            secrets=service.secrets,
            init_only=frozenset(),
            container_port=declared.ports[0],
            port=service.ports[0],
            mount_path=declared.data_path,
            data_path=declared.data_path,
            volume=self._volume(name.object_name) if declared.data_path else None,
            health=HealthCheck(declared.health, self.health_interval) if declared.health else None,
            shm_size=64 * 1024 * 1024,
            stop_signal="",
            stop_timeout=timedelta(seconds=10),
            further_ports=tuple(zip(declared.ports, service.ports, strict=True))[1:],
            depends_on=tuple(map(Service, declared.depends_on)),
        )


_REQUIREPASS = r"""<<EOF
requirepass "$(printf %s "$REDISCLI_AUTH" | sed 's/[\\"]/\\&/g')"
EOF
"""


def versioned(name: str, version: int) -> str:
    """Return the name of PostgreSQL's data of a version: those of two versions lie side by side."""
    return name if version == _WITHOUT_VERSION else f"{name}-{version}"


def container_paths(version: int) -> tuple[str, str]:
    """Return where the official image wants its volume, and the folder in which it keeps the data.

    From 18 on it has a folder for each version, and refuses a volume at the former place (its issue 1259).
    """
    root = "/var/lib/postgresql"
    former = f"{root}/data"
    return (former, former) if version < _FOLDER_OF_ITS_OWN else (root, f"{root}/{version}/docker")


def refuse_tls(settings: Settings) -> None:
    """Refuse settings that ask the local stack for TLS: its servers listen on 127.0.0.1 only, and speak none.

    Raises:
        ConfigError: names the setting that asks for it, and the one that allows plain text.
    """
    mode = sslmode(settings)
    if mode not in {SslMode.DISABLE, SslMode.PREFER}:
        asked = "DATABASE_SSLMODE" if settings.database_sslmode else f"APP_ENV={settings.app_env}"
        raise ConfigError(
            f"{asked} asks for TLS (sslmode {mode}), and the local stack's servers speak none: they listen on "
            "127.0.0.1 only. Set DATABASE_SSLMODE=prefer to use them without, or another database with DATABASE_URL.",
            setting="DATABASE_SSLMODE",
        )


def _refuse_equal_ports(settings: Settings) -> None:
    if settings.postgres_port is not None and settings.postgres_port == settings.redis_port:
        raise ConfigError(
            f"POSTGRES_PORT and REDIS_PORT are both {settings.redis_port}, and only one server can listen there. Set "
            "one of them to another port or to `auto`.",
            setting="REDIS_PORT",
        )


def _refuse_superuser(name: str) -> None:
    """Refuse a superuser's name that is one of the product's roles, or that PostgreSQL keeps for itself.

    Source: PostgreSQL manual, CREATE ROLE, and initdb.c, which refuse those; a longer name would be cut.
    """
    if name in set(map(str, Role)):
        reason = "is one of the product's own roles, which row level security binds"
    elif name.startswith("pg_") or name in {"public", "none"}:
        reason = "is a name that PostgreSQL keeps for itself"
    elif len(name.encode()) > _NAME_BYTES:
        reason = f"is longer than {_NAME_BYTES} bytes"
    else:
        return
    raise ConfigError(
        f"POSTGRES_USER {name} {reason}. Name another superuser, such as `postgres`.", setting="POSTGRES_USER"
    )


def wanted_images(settings: Settings) -> dict[Service, str]:
    """Return the image of each server that the settings ask for."""
    return {
        Service.POSTGRES: settings.postgres_image or f"postgres:{settings.postgres_version}",
        Service.REDIS: settings.redis_image or settings.redis_version.image,
    }


def build_stack(settings: Settings, project: Project, *, durable: bool = True) -> StackSpec:
    """Declare the stack that the settings ask for.

    Raises:
        ConfigError: a password is missing, a port or the superuser cannot be had, TLS is asked for, or DATABASE_URL
            says that the database is elsewhere.
    """
    if settings.database_url is not None:
        raise ConfigError(
            f"DATABASE_URL is set ({settings.database_url}), so the database is not the local stack's and no "
            "PostgreSQL is started. Unset DATABASE_URL to use the local stack.",
            setting="DATABASE_URL",
        )
    refuse_tls(settings)
    _refuse_equal_ports(settings)
    _refuse_superuser(settings.postgres_user)
    for key, secret in (
        ("POSTGRES_PASSWORD", settings.postgres_password),
        ("APP_OWNER_PASSWORD", settings.app_owner_password),
        ("APP_USER_PASSWORD", settings.app_user_password),
        ("APP_MAINTENANCE_PASSWORD", settings.app_maintenance_password),
        ("REDIS_PASSWORD", settings.redis_password),
    ):
        if not secret:
            raise ConfigError(
                f"{key} is missing in .env and the environment. Give it a value; without a .env, `invoke up` writes "
                "one with generated passwords.",
                setting=key,
            )
    images = wanted_images(settings)
    return StackSpec(
        project=project,
        postgres=PostgresSpec(
            version=settings.postgres_version,
            image=images[Service.POSTGRES],
            port=settings.postgres_port if durable else None,
            user=settings.postgres_user,
            password=settings.postgres_password,
            parameters=(
                ("cluster_name", project.id),
                ("max_connections", str(settings.database_pool_budget + _CONNECTIONS_BESIDE_THE_BUDGET)),
                ("timezone", "UTC"),
                ("log_timezone", "UTC"),
                *(() if durable else (("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off"))),
            ),
        ),
        redis=RedisSpec(
            version=settings.redis_version,
            image=images[Service.REDIS],
            port=settings.redis_port if durable else None,
            password=settings.redis_password,
            # Append-only: a server that is killed loses the last second at most, not everything since its last save.
            directives=(("appendonly", "yes" if durable else "no"), ("save", "")),
        ),
        durable=durable,
        start_timeout=settings.stack_start_timeout,
    )
