"""Celery: jobs that are sent, and their runs with each pool."""
