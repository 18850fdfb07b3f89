"""The stack as plain processes, from wheels and the machine's own redis-server."""
