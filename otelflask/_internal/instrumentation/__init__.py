"""Observes an app: its requests, statements, log lines, libraries, users and runtime."""
