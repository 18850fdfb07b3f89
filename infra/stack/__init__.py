"""Bringing the stack up and down, waiting until it serves, and keeping checkouts apart."""
