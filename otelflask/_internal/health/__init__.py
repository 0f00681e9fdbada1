"""Health checks, and the answers of `/health`."""
