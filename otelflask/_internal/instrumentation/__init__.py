"""Instrumentation of an app: requests, statements, log lines, libraries, users and runtime."""
