"""The first hour of an ordinary product: its tables, declared, made, proven apart and used."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra.config.settings import Role
from tests.kit.checkout import Checkout

pytestmark = pytest.mark.one_backend

MODELS = Path(__file__).with_name("ordinary_product.py")
USE = """
from uuid import uuid4
from infra.config.endpoints import database_url
from infra.config.settings import Role, Settings
from schema.client import create_engine, tenant_session
from schema.models.product import Event, Member, Project, Tag, Task, Team
from schema.models.tenants import Tenant
from schema.models.users import User

settings = Settings.load()
engine = create_engine(database_url(settings, Role.USER), settings)
for name in ("acme", "beta"):
    with tenant_session(engine, tenant := uuid4()) as session:
        session.add(Tenant(name=name, slug=name))
        session.flush()
        session.add(user := User(external_id=name, email=f"ada@{name}"))
        session.flush()
        project = Project(name="One", owner=user)
        first = Task(number=1, title="first", project=project, assignee=user, tags=[Tag(name="red", place=1)])
        session.add_all([Task(number=2, title="second", project=project, parent=first), Event(what={})])
        session.add(team := Team())
        session.flush()
        session.add(member := Member(team_id=team.id, user_id=user.id))
        session.flush()
        team.lead_id = member.id
"""


@pytest.mark.slow
def test_its_tables_are_made_proven_apart_and_used(checkout: Checkout) -> None:
    """One migration makes them all; no attack gets through; two tenants' objects are written; one of them leaves."""
    (checkout.path / "schema" / "models" / "product.py").write_text(MODELS.read_text())
    checkout.succeed("up", "migrate")
    checkout.succeed("generate", "-m", "add the product")
    checkout.succeed("migrate")
    checkout.succeed("generate", "--check")
    checkout.succeed("check")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", USE], cwd=checkout.path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    count = "SELECT name, (SELECT count(*) FROM tasks k WHERE k.tenant_id = t.tenant_id) FROM tenants t ORDER BY 1"
    assert checkout.query(Role.MAINTENANCE, count) == [("acme", 2), ("beta", 2)]
    checkout.succeed("tenants-delete", "acme", "--yes", "--no-export")
    assert checkout.query(Role.MAINTENANCE, count) == [("beta", 2)]
    checkout.succeed("rollback", "--allow-data-loss")
    assert checkout.query(Role.OWNER, "SELECT to_regclass('tasks'), to_regtype('task_status')") == [(None, None)]
