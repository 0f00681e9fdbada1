"""The demo shop; ``python -m otelflask.demo`` runs it."""
