"""Bucket boundaries of durations, in seconds.

The conventions' boundaries (semantic conventions, HTTP and database metrics) and more between them: from
1 s the next is 2.5 s, so that a percentile of requests of 1.2 s reads 2.4 s. From 5 ms on, each is at
most half as large again as the one before, and so a percentile is at most half above its true value and
at most a third below.
"""

from __future__ import annotations

#: The conventions' boundaries of HTTP requests, which other instrumentations use.
HTTP_BY_CONVENTION = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
HTTP = (
    0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0,
    2.5, 3.5, 5.0, 7.5, 10.0,
)  # fmt: skip
DATABASE = (0.001, 0.0015, 0.002, 0.0025, 0.0035, *HTTP)
#: Of jobs: their runs, and how long they wait. Each is at most twice the one before, so a percentile is at most
#: twice its true value, and at least half of it.
JOB = (
    0.01, 0.02, 0.035, 0.05, 0.1, 0.2, 0.35, 0.5, 1.0, 2.0, 3.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 180.0, 300.0,
    600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 14_400.0,
)  # fmt: skip
