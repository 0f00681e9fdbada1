"""The server of an SQLAlchemy engine, as attributes by the semantic conventions."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Engine

#: ``db.system.name`` by SQLAlchemy's dialect name.
SYSTEMS = {
    "postgresql": "postgresql",
    "mysql": "mysql",
    "mariadb": "mariadb",
    "sqlite": "sqlite",
    "mssql": "microsoft.sql_server",
    "oracle": "oracle.db",
    "cockroachdb": "cockroachdb",
}


def server_attributes(engine: Engine) -> dict[str, Any]:
    """``db.system.name``, ``db.namespace``, ``server.address`` and ``server.port`` of an engine's URL."""
    url = engine.url
    attributes: dict[str, Any] = {"db.system.name": SYSTEMS.get(engine.dialect.name, engine.dialect.name)}
    if getattr(engine.dialect, "is_mariadb", False):
        attributes["db.system.name"] = "mariadb"
    if url.database:
        attributes["db.namespace"] = url.database
    if url.host:
        attributes["server.address"] = url.host
        if url.port:
            attributes["server.port"] = url.port
    return attributes
