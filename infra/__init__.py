"""The stack: what runs, and how it is brought up. Knows docker and redis; never sqlalchemy or alembic."""

from infra.config.moved import find_moved

find_moved()
