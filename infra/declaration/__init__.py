"""The stack as it is declared, once, and the compose file as a reading of it."""
