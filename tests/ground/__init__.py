"""The ground's own tests."""
