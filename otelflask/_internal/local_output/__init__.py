"""Writes log lines and traces on this machine: console and files."""
