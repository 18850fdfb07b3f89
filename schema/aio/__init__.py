"""Asyncio twins of `schema.connect`, `schema.engine` and `schema.session`: the same rules, never blocking the loop."""
