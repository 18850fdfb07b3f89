"""The side of migrations that changes a database: apply, take back, remember, refuse."""
