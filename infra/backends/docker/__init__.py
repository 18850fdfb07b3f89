"""The stack as containers: observe, plan (pure), apply. The only room that knows the Docker SDK."""
