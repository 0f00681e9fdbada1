"""Notifications about errors, by mail."""
