"""What an operator does: roles and rights, preparing a server, tenants signed up, exported and deleted."""
