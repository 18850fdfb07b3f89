"""Row-level security: what isolates a tenant table, and how a migration gets it."""
