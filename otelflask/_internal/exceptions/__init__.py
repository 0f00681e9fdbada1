"""Exceptions: the walk over one, and its attributes."""
