"""Answers errors: what the client gets."""
