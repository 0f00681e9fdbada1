"""Collects what the live page shows: in each worker, and in the file that the workers of a server share."""
