"""Whether migrations are safe to run on a database that others use."""
