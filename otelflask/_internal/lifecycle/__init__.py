"""Forks, process ends, worker threads, and the processes of a server."""
