"""Tells people of errors, by mail."""
