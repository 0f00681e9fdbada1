"""Counts active users."""
