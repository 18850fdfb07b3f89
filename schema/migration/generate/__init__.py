"""Writing a migration from the models."""
