"""The stack: what runs, and how it is brought up. Knows docker and redis; never sqlalchemy or alembic."""
