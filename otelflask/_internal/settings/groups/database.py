"""Database and libraries: statements, other libraries and circuit breakers."""

from __future__ import annotations

from dataclasses import dataclass

from otelflask._internal.settings.setting import setting


@dataclass(frozen=True, kw_only=True)
class DatabaseSettings:
    """Database and libraries."""

    database: bool = setting("OTELFLASK_DATABASE", True, "Spans and metrics of SQLAlchemy, where it is installed.")
    slow_query_threshold: float = setting(
        "OTELFLASK_SLOW_QUERY_THRESHOLD",
        1.0,
        "The minimum duration of a slow statement. A WARN record has the statement and the line of code that ran it.",
        minimum=0.0,
        unit="seconds",
    )
    slow_query_plan: bool = setting(
        "OTELFLASK_SLOW_QUERY_PLAN",
        False,
        "Adds the plan of a slow SELECT to its record: PostgreSQL, MariaDB, MySQL, SQLite.",
    )
    repeated_query_count: int = setting(
        "OTELFLASK_REPEATED_QUERY_COUNT",
        5,
        "A WARN record reports an N+1 if one request runs a statement from the same line at least this often.",
        minimum=2,
    )
    repeated_query_time: float = setting(
        "OTELFLASK_REPEATED_QUERY_TIME",
        0.05,
        "The minimum total time of these runs for an N+1. In development the default is 0: small databases are fast.",
        minimum=0.0,
        unit="seconds",
    )
    libraries: str = setting(
        "OTELFLASK_LIBRARIES",
        "all",
        "Libraries to instrument where their extra is installed: `all`, `none`, or a comma-separated list of "
        "httpx, jinja2, redis, requests, urllib3.",
    )
    breaker_redis: str = setting(
        "OTELFLASK_BREAKER_REDIS",
        "",
        "The URL of a redis in which the processes of a service share the states of their circuit breakers. "
        "Empty: each process has its own states.",
    )
