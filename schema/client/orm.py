"""The ORM session of one tenant: what it adds to statements and objects, and what it refuses.

The database isolates without any of this. The added criterion tells the planner the tenant, and a refusal here names
the object.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast
from uuid import UUID

from sqlalchemy import Connection, Engine, event, inspect
from sqlalchemy.orm import (
    InstanceState,
    LoaderCriteriaOption,
    Mapper,
    ORMExecuteState,
    Session,
    UOWTransaction,
    with_loader_criteria,
)

from schema.client.dialect import engine_of
from schema.errors import ContextFault, TenantContextError
from schema.tenancy.context import tenant_id, user_id
from schema.tenancy.key_rules import TENANT
from schema.tenancy.mixin import TenantMixin

Model = TypeVar("Model")


class BlockSession(Session):
    """A session of one block: after it, nothing is asked and nothing written.

    SQLAlchemy's would begin again when a stream, a background task or a lazy load used it, and nobody would end it.
    """

    def __init__(self, bind: Engine, **options: Any) -> None:
        # What was read stays readable after the session has ended.
        super().__init__(bind, **{"expire_on_commit": False} | options)
        self._ended = False

    def end(self) -> None:
        """Refuse every further statement."""
        self._ended = True

    def get_bind(self, *arguments: Any, **options: Any) -> Engine | Connection:
        """Return the engine, as every statement asks for it.

        Raises:
            TenantContextError: the session's block has ended.
        """
        if self._ended:
            raise TenantContextError(
                "This session's block has ended, and what it wrote is committed or rolled back. Read what a stream or "
                "a background task needs before the block ends, or open a session there.",
                fault=ContextFault.BLOCK_ENDED,
            )
        return super().get_bind(*arguments, **options)


class TenantSession(BlockSession):
    """A session whose every transaction is of `tenant`; use `schema.client.tenant_session`, which ends it as well."""

    def __init__(self, bind: Engine, *, tenant: UUID, user: UUID | str | None = None, **options: Any) -> None:
        self._user = user_id(user)
        super().__init__(engine_of(tenant, bind, self._user), **options)
        self._tenant = tenant

    @property
    def tenant(self) -> UUID:
        """The tenant that the session serves."""
        return self._tenant

    @property
    def user(self) -> str | None:
        """The tenant's user that the session serves, as policies compare it with `app.user_id`."""
        return self._user

    def get(self, entity: type[Model] | Mapper[Model], ident: Any, **options: Any) -> Model | None:
        """Return the object with a primary key, None where there is none; the session's tenant need not be said.

        `options` are `Session.get`'s.
        """
        return super().get(entity, _whole_key(inspect(entity), ident, self._tenant), **options)


def _whole_key(mapper: Mapper[Any], ident: Any, tenant: UUID) -> Any:
    """Return a primary key with the tenant in its place, where that is all that it lacks."""
    if not issubclass(mapper.class_, TenantMixin):
        return ident
    if isinstance(ident, Mapping):
        return {TENANT: tenant, **ident}
    values = ident if isinstance(ident, Sequence) and not isinstance(ident, str) else (ident,)
    place = [mapper.get_property_by_column(column).key for column in mapper.primary_key].index(TENANT)
    return ident if len(values) >= len(mapper.primary_key) else (*values[:place], tenant, *values[place:])


@event.listens_for(TenantSession, "do_orm_execute")
def _name_the_tenant(state: ORMExecuteState) -> None:
    """Add `tenant_id = …` for every tenant table of a SELECT, UPDATE or DELETE, loads of relationships included."""
    if (state.is_select or state.is_update or state.is_delete) and not state.is_column_load:
        criterion = _criterion(cast(TenantSession, state.session).tenant)
        if not _handed_on(state, criterion):
            state.statement = state.statement.options(criterion)


@functools.lru_cache(maxsize=1024)
def _criterion(tenant: UUID) -> LoaderCriteriaOption:
    return with_loader_criteria(TenantMixin, lambda model: model.tenant_id == tenant, include_aliases=True)


def _handed_on(state: ORMExecuteState, criterion: LoaderCriteriaOption) -> bool:
    """Return whether a relationship's load has the criterion from the query that found the parent."""
    if not (state.is_select and state.is_relationship_load):
        return False
    parent = state.lazy_loaded_from
    return parent is None or criterion in parent.load_options


@event.listens_for(TenantSession, "before_attach")
def _refuse_foreign(session: TenantSession, instance: object) -> None:
    """Refuse an object that is known to be another tenant's before it enters the session."""
    if isinstance(instance, TenantMixin):
        _refuse_another(session, instance)


@event.listens_for(TenantSession, "before_flush")
def _own(session: TenantSession, _context: UOWTransaction, _instances: object) -> None:
    """Give new objects the session's tenant; refuse any that have come by another one."""
    for instance in (*session.new, *session.dirty):
        if isinstance(instance, TenantMixin):
            _refuse_another(session, instance)
            if inspect(instance).dict.get("tenant_id") is None:
                instance.tenant_id = session.tenant


def _refuse_another(session: TenantSession, instance: TenantMixin) -> None:
    for given in _tenants_of(instance):
        if given is not None and tenant_id(given) != session.tenant:
            raise TenantContextError(
                f"A {type(instance).__name__} of tenant {given} cannot be used in a session of tenant {session.tenant}."
                " Leave tenant_id out, and it is the session's; another tenant's object needs a session of that "
                "tenant.",
                fault=ContextFault.OTHER_TENANT,
                wanted=str(given),
                serves=str(session.tenant),
            )


def _tenants_of(instance: TenantMixin) -> Iterator[object]:
    """Yield what is known of an object's tenant without asking the database: its attribute, and its identity."""
    state = cast(InstanceState[TenantMixin], inspect(instance))
    yield state.dict.get("tenant_id")
    if state.identity is not None:
        keys = (column.key for column in state.mapper.primary_key)
        yield dict(zip(keys, state.identity, strict=True)).get("tenant_id")
