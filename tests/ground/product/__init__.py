"""The models and migrations that the ground's tests are written for."""
