"""Reads exceptions: one walk, and the attributes made of it."""
