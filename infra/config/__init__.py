"""Settings, and where a running stack answers: all of infra that schema may import."""
