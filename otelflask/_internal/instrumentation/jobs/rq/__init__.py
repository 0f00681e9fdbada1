"""RQ: jobs that are sent, and their runs with each kind of worker."""
