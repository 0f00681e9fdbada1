"""The setting `libraries`: which other libraries OpenTelemetry's own instrumentations are used for."""

from __future__ import annotations

import os

from otelflask._internal.settings import SettingError

#: The instrumentor of each library.
INSTRUMENTORS = {
    "httpx": "HTTPXClientInstrumentor",
    "jinja2": "Jinja2Instrumentor",
    "redis": "RedisInstrumentor",
    "requests": "RequestsInstrumentor",
    "urllib3": "URLLib3Instrumentor",
}
#: Instrumentations of database drivers. Below SQLAlchemy they would make a second span a statement.
DRIVERS = frozenset(
    {"aiopg", "asyncpg", "dbapi", "mysql", "mysqlclient", "psycopg", "psycopg2", "pymssql", "pymysql", "sqlite3"}
)

DISABLED = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
#: Stock instrumentations that ours replace. Both together would make every span and line twice.
REPLACED = ("flask", "logging", "sqlalchemy", "system_metrics", "wsgi")
#: In that variable: behind it, otelflask has added those for the loader of OpenTelemetry's instrumentations. Processes
#: that are started by this one inherit it.
ADDED = "added-by-otelflask"


def is_disabled(name: str) -> bool:
    """Whether the user turns an instrumentation off by OpenTelemetry's variable: a list of names, or ``*`` for all."""
    disabled = [item.strip() for item in os.environ.get(DISABLED, "").split(",")]
    if ADDED in disabled:
        begin = disabled.index(ADDED)
        del disabled[begin : begin + 1 + len(REPLACED)]
    return name in disabled or "*" in disabled


def chosen(setting: str) -> list[str]:
    """The libraries of a setting: ``all``, ``none``, or names.

    Raises:
        SettingError: A name is unknown.
    """
    names = [name.strip().lower() for name in setting.split(",") if name.strip()]
    if names == ["all"]:
        return sorted(INSTRUMENTORS)
    if names == ["none"]:
        return []
    for name in names:
        if name not in INSTRUMENTORS:
            raise SettingError(
                f"libraries (OTELFLASK_LIBRARIES) is {setting!r}; allowed are all, none, or any of "
                f"{', '.join(sorted(INSTRUMENTORS))}, separated by commas"
            )
    return names
