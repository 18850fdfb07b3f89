"""Servers that fork after the application has used its engine: each of their processes has its own connections.

The kind: a module is imported, and may read something, before workers are forked that share its engine.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from subprocess import PIPE
from threading import Thread
from typing import IO, cast
from urllib.request import urlopen

import pytest

from infra.config.settings import CHECKOUT, Role
from tests.kit.database import SignUp
from tests.kit.stack import RunningStack

pytestmark = [pytest.mark.slow, pytest.mark.one_backend]

# What both servers load before they fork.
PRODUCT = """
import os
from sqlalchemy import text
from infra.config.settings import Settings
from infra.config.urls import DatabaseUrl
from schema.client.engine import create_engine
from schema.client.session import tenant_session, tenantless_connection

settings = Settings.load(environ={"DATABASE_POOL_BUDGET": "1", "DATABASE_PROCESSES": "1", "LOG_LEVEL": "error"})
engine = create_engine(DatabaseUrl.parse(os.environ["PRODUCT_URL"]), settings)
with tenantless_connection(engine) as connection:
    used_by = os.getpid()
    connection.execute(text("SELECT 1"))


def look(tenant):
    with tenant_session(engine, tenant) as session:
        seen = session.scalars(text("SELECT tenant_id FROM tenants")).all()
        server = session.scalar(text("SELECT pg_backend_pid()"))
    return {"seen": [str(tenant) for tenant in seen], "process": os.getpid(), "loaded_by": used_by, "server": server}
"""

GUNICORN = """
import json
from product import look


def app(environ, start_response):
    body = json.dumps(look(environ["PATH_INFO"].strip("/"))).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

CELERY = """
import json, os, sys
from celery import Celery
from celery.signals import worker_ready
from product import look as looked

app = Celery("product", broker="memory://")


@app.task
def look(tenant):
    os.write(1, json.dumps({"tenant": tenant} | looked(tenant)).encode() + b"\\n")


@worker_ready.connect
def send(sender, **_):
    for tenant in sys.argv[1:] * 30:
        look.delay(tenant)


app.worker_main(["worker", "-P", "prefork", "-c", "2", "--without-gossip", "--without-mingle", "-l", "WARNING"])
"""


def answers_of(seen: list[dict[str, object]]) -> None:
    """Hold answers to what is right: own rows, no server session shared by processes, none of them the loader's."""
    assert all(answer["seen"] == [answer["tenant"]] for answer in seen)
    processes = {answer["process"] for answer in seen}
    assert len(processes) == 2
    assert len({(answer["process"], answer["server"]) for answer in seen}) == 2
    assert len({answer["server"] for answer in seen}) == 2
    assert processes.isdisjoint({answer["loaded_by"] for answer in seen})


@pytest.fixture
def product(tmp_path: Path, stack: RunningStack) -> dict[str, str]:
    """Write the product down, and return the environment that it is started with."""
    (tmp_path / "product.py").write_text(PRODUCT)
    (tmp_path / "wsgi.py").write_text(GUNICORN)
    (tmp_path / "worker.py").write_text(CELERY)
    return os.environ | {"PYTHONPATH": f"{CHECKOUT}:{tmp_path}", "PRODUCT_URL": stack.url(Role.USER).libpq()}


@contextmanager
def serving(command: list[str], folder: Path, environ: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """Run a server, and end it and its workers."""
    with subprocess.Popen(command, cwd=folder, env=environ, stdout=PIPE, stderr=PIPE, text=True) as server:
        try:
            yield server
        finally:
            server.terminate()
            server.communicate(timeout=30)


def test_gunicorn_that_preloads(product: dict[str, str], tmp_path: Path, sign_up: SignUp) -> None:
    """Two workers of `gunicorn --preload` answer requests of two tenants at once, each with its own rows."""
    tenants = [str(sign_up()), str(sign_up())]
    options = ["--preload", "--workers", "2", "--bind", "127.0.0.1:0"]
    seen: list[dict[str, object]] = []

    def ask(port: str, tenant: str) -> None:
        for _ in range(60):
            with urlopen(f"http://127.0.0.1:{port}/{tenant}") as answer:
                seen.append({"tenant": tenant} | json.load(answer))

    with serving([sys.executable, "-m", "gunicorn", *options, "wsgi:app"], tmp_path, product) as server:
        line = next(line for line in cast(IO[str], server.stderr) if "Listening at" in line)
        port = line.split("127.0.0.1:")[1].split()[0]
        threads = [Thread(target=ask, args=(port, tenant)) for tenant in tenants * 2]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(seen) == 240
    answers_of(seen)


def test_celery_that_forks_its_workers(product: dict[str, str], tmp_path: Path, sign_up: SignUp) -> None:
    """Two prefork workers of Celery work for two tenants in turn, each with the right rows."""
    tenants = [str(sign_up()), str(sign_up())]
    with serving([sys.executable, "worker.py", *tenants], tmp_path, product) as worker:
        lines = (line for line in cast(IO[str], worker.stdout) if line.startswith("{"))  # there is a banner too
        seen = [json.loads(line) for line in islice(lines, 60)]
    assert len(seen) == 60
    answers_of(seen)
