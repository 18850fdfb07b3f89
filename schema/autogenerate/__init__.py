"""Migrations as they are written: what Alembic's own comparison does not see, renames, drops, layout."""
