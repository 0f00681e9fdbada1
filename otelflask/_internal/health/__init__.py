"""Health checks, and what `/health` answers."""
