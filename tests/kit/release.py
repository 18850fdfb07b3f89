"""A release image of a copy of the project, and a PostgreSQL server with TLS for it to run against."""

import fcntl
import re
import shlex
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.config.errors import EnvironmentFault
from infra.images.base import RELEASE_ROOT, Root, ensure_root
from infra.images.names import RELEASE_BASE
from tests.kit.availability import docker_is_required
from tests.kit.checkout import copy_project
from tests.kit.pages import blocks
from tests.kit.stack import say
from tests.kit.world import engine

PAGE = "infra/images/release/README.md"
BAIT = "S3cretBait"
_PROGRAMS = "/usr/lib/postgresql/17/bin"
_SERVER = Root("groundwork/postgres:17-tls-standin", "trixie", ("openssl", "postgresql-17"))
_ROLES = {"owner": "app_owner", "": "app_user", "maintenance": "app_maintenance", "admin": "postgres"}
# As an installer of certificates and a server with TLS alone would; its password never leaves the container.
_START = f"""
set -eu
umask 022
cd "$(mktemp -d)"
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=authority -keyout ca.key -out /tls/ca.crt
openssl req -newkey rsa:2048 -nodes -subj /CN=db -keyout server.key -out server.csr
echo subjectAltName=DNS:db > names
openssl x509 -req -in server.csr -CA /tls/ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.crt
printf %s {BAIT}admin > password
mkdir -p /run/postgresql
chown postgres . server.key server.crt password /run/postgresql
chmod 755 .
as_postgres() {{ setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }}
as_postgres {_PROGRAMS}/initdb -D data --auth=scram-sha-256 --pwfile=password --locale=C.UTF-8
printf 'local all all peer\\nhostssl all all all scram-sha-256\\n' > data/pg_hba.conf
exec setpriv --reuid=postgres --regid=postgres --clear-groups {_PROGRAMS}/postgres -D data \\
  -c listen_addresses=* -c ssl=on -c ssl_cert_file="$PWD/server.crt" -c ssl_key_file="$PWD/server.key"
"""
Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True, slots=True)
class Release:
    """An image of the project, the copy that it was made of, and a server that it can reach as `db` with TLS."""

    image: str
    checkout: Path
    network: str
    secrets: Path

    def run(self, *command: str, mounts: Sequence[str] = (), **environ: str) -> Done:
        """Run a command in the image as it is meant to run: nothing can be written but /tmp, no capability is left.

        `mounts` are further files for it, each as `--volume` takes them; `environ` stands besides the secrets of all.
        """
        hardened = ("--read-only", "--tmpfs", "/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges")  # noqa: S108 - the container's
        named = {path.name: f"/run/secrets/{path.name}" for path in self.secrets.glob("database_*")}
        settings = {f"{name.upper()}_FILE": path for name, path in named.items()} | environ
        words = [word for key, value in settings.items() for word in ("--env", f"{key}={value}")]
        mounted = [f"--volume={each}:ro" for each in (f"{self.secrets}:/run/secrets", *mounts)]
        called = ("docker", "run", "--rm", f"--network={self.network}", *hardened, *mounted, *words, self.image)
        return subprocess.run((*called, *command), capture_output=True, text=True, check=False)

    def run_block(self, script: str, folder: Path) -> Done:
        """Run a shell block of the page in a folder, with this image and network in the place of the page's."""
        script = script.replace("shop:1", self.image).replace("docker run", f"docker run --network={self.network}")
        return subprocess.run(["bash", "-euc", script], cwd=folder, capture_output=True, text=True, check=False)

    def ask(self, statement: str) -> str:
        """Return what psql on the server answers its superuser in the application's database."""
        return self._in_server(f"{_PROGRAMS}/psql -XAtqc {shlex.quote(statement)} app", "postgres")

    def dump_and_restore(self) -> None:
        """Dump the database as app_maintenance, lose it, have it made again, and restore the dump as its owner."""
        self._in_server(f"{_PROGRAMS}/pg_dump --format=custom --file=/tmp/dump '{self._url('maintenance')}'")
        self._in_server(f"{_PROGRAMS}/psql -Xqc 'DROP DATABASE app WITH (FORCE)' postgres", "postgres")
        made = self.run("invoke", "bootstrap")
        assert made.returncode == 0, made.stderr
        restore = f"{_PROGRAMS}/pg_restore --exit-on-error --clean --if-exists --no-owner"
        self._in_server(f"{restore} --dbname='{self._url('owner')}' /tmp/dump")

    def _url(self, kind: str) -> str:
        """Return a role's URL as it is inside the server's container."""
        return (self.secrets / f"database_{kind}_url").read_text().strip().replace("/run/secrets/", "/tls/")

    def _in_server(self, script: str, user: str = "root") -> str:
        words = ("docker", "exec", f"--user={user}", f"{self.network}-db", "bash", "-euc", script)
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def build(checkout: Path, tag: str, *options: str) -> None:
    """Build an image of a checkout with the page's own commands, on the base that stands in for the official one.

    The former builder keeps the images of its steps: they are removed.
    """
    script = next(block.text for block in blocks(PAGE) if "docker build" in block.text)
    script = script.replace("docker build", f"docker build --build-arg BASE={RELEASE_BASE} {' '.join(options)}")
    done = subprocess.run(
        ["bash", "-euc", script.replace("shop:1", tag)], cwd=checkout, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    with engine() as client:
        nameless = {found["Id"] for found in client.images(filters={"dangling": True})}
        for step in re.findall(r"^ ---> ([0-9a-f]{12})$", done.stdout, re.MULTILINE)[::-1]:
            if any(image.startswith(f"sha256:{step}") for image in nameless):
                subprocess.run(["docker", "image", "rm", step], capture_output=True, check=False)


@pytest.fixture(scope="session")
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    """Give a release image of the project and a server with TLS, prepared for it; both go with the run."""
    request.getfixturevalue("docker")
    checkout = copy_project(
        tmp_path_factory.mktemp("release") / "shop", "constraints.txt", ".dockerignore", "README.md"
    )
    name = f"groundwork-release-{uuid.uuid4().hex[:8]}"
    made = Release(f"{name}:1", checkout, name, checkout.parent / "secrets")
    with ExitStack() as stack:
        make_roots(RELEASE_ROOT, _SERVER)
        leave_bait(checkout)
        stack.callback(_docker, "image", "rm", "--force", made.image)
        build(checkout, made.image)
        stack.callback(_docker, "network", "rm", name)
        _docker("network", "create", name)
        stack.callback(_docker, "rm", "--force", "--volumes", f"{name}-db")
        _serve(made)
        _write_urls(made.secrets)
        prepared = made.run("invoke", "bootstrap", DATABASE_CONNECT_DEADLINE="120")
        assert prepared.returncode == 0, prepared.stderr
        yield made


def leave_bait(checkout: Path) -> None:
    """Leave secrets in a checkout, in the places where developers have them."""
    for place in (".env", ".env.production", "deploy.key", "infra/product/tls.pem", ".git/config"):
        path = checkout / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"POSTGRES_PASSWORD={BAIT}\n")


def make_roots(*roots: Root) -> None:
    """Make images of Debian roots; where this machine cannot, the test is skipped with the reason."""
    try:
        # One after the other, where several workers run: a root takes half a minute and much memory.
        with Path(tempfile.gettempdir(), "groundwork-roots.lock").open("w") as lock, engine() as client:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for root in roots:
                ensure_root(client, root, progress=say)
    except EnvironmentFault as fault:
        if docker_is_required():
            raise
        pytest.skip(str(fault))


def _serve(release: Release) -> None:
    release.secrets.mkdir()
    name = ("--name", f"{release.network}-db", "--network", release.network, "--network-alias", "db")
    _docker("run", "--detach", *name, "--volume", f"{release.secrets}:/tls", _SERVER.reference, "bash", "-c", _START)


def _write_urls(secrets: Path) -> None:
    """Write each role's URL into a file, as an editor does, for anybody to read: the image runs as another user."""
    for kind, role in _ROLES.items():
        database = "postgres" if kind == "admin" else "app"
        path = secrets / "_".join(filter(None, ("database", kind, "url")))
        path.write_text(f"postgresql://{role}:{BAIT}{kind}@db:5432/{database}?sslrootcert=/run/secrets/ca.crt\n")
        path.chmod(0o644)
    secrets.chmod(0o755)


def _docker(*words: str) -> None:
    subprocess.run(["docker", *words], check=True, capture_output=True)
