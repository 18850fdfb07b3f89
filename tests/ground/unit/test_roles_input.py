import pytest

from infra.config.errors import ConfigError
from infra.config.secret import Secret
from infra.config.settings import Role, Settings
from infra.config.urls import DatabaseUrl
from schema.admin import roles
from tests.kit.availability import NO_FILE
from tests.kit.errors import about


@pytest.mark.parametrize("role", Role)
def test_a_role_without_a_password_is_refused_before_anything_connects(role: Role) -> None:
    """The setting is named; a role with an empty password could not log in, or anybody could."""
    passwords = {f"APP_{each.name}_PASSWORD": "" if each is role else "S3cret" for each in Role}
    nowhere = DatabaseUrl("postgres", Secret("S3cret"), "host.invalid", 1, "postgres")
    with pytest.raises(ConfigError, check=about(setting=f"APP_{role.name}_PASSWORD")):
        roles.ensure(nowhere, Settings.load(NO_FILE, passwords))
