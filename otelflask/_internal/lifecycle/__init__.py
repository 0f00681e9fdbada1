"""Forks, ends, worker threads, and the processes of a server."""
