"""Recorded scenarios: what the client sees and what arrives, as files that a rebuild must reproduce."""
