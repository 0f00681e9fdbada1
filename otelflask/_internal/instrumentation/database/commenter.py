"""Comments in statements with their origin (sqlcommenter)."""

from __future__ import annotations

from typing import Any

from opentelemetry import context as context_api
from opentelemetry import trace as trace_api
from opentelemetry.context import Context
from sqlalchemy import __version__ as sqlalchemy_version

from otelflask._internal.compat.otel_instrumentation import add_sql_comment, traceparent_values


class Commenter:
    """Adds comments to statements.

    Args:
        options: Which parts a comment has.
        in_attribute: Whether ``db.query.text`` has the comment too.
    """

    def __init__(self, options: dict[str, Any], in_attribute: bool) -> None:
        self._options = options
        self._in_attribute = in_attribute

    def commented(self, statement: str, driver: str, span: trace_api.Span, context: Context) -> str:
        """A statement with its comment.

        Args:
            statement: The statement.
            driver: The name of the driver.
            span: The statement's span.
            context: The context around it.
        """
        token = context_api.attach(trace_api.set_span_in_context(span, context))
        try:
            data = {"db_driver": driver, "db_framework": f"sqlalchemy:{sqlalchemy_version}"}
            if self._options.get("opentelemetry_values", True):
                data.update(**traceparent_values())
            data = {key: value for key, value in data.items() if self._options.get(key, True)}
            commented: str = add_sql_comment(statement, **data)
        finally:
            context_api.detach(token)
        if self._in_attribute:
            span.set_attribute("db.query.text", commented)
        return commented
