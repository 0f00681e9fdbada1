"""Collect what the live page shows: in each worker, and in a file that the workers of a server share."""
