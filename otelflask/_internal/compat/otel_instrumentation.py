"""OpenTelemetry's instrumentations (contrib): what they leave on an app, and functions that we share.

Sources: ``opentelemetry.instrumentation.flask``, ``.sqlcommenter_utils``, ``.utils``, ``.system_metrics``, ``.redis``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import CodeType
from typing import Any

import psutil
from flask import Flask
from opentelemetry.instrumentation import flask as contrib
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]
from opentelemetry.instrumentation.sqlcommenter_utils import _add_sql_comment as add_sql_comment
from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.instrumentation.utils import _get_opentelemetry_values as traceparent_values

__all__ = [
    "BEFORE_REQUEST",
    "EXCLUDED_BY_ENVIRONMENT",
    "TEARDOWN_REQUEST",
    "WRAPPER",
    "FlaskInstrumentorBase",
    "InstrumentedFlask",
    "add_sql_comment",
    "forget_functions",
    "is_marked",
    "mark",
    "measure_this_process",
    "original_wsgi_app",
    "real_instrument",
    "replace_instrumentor",
    "replace_pipeline_names",
    "traceparent_values",
]


class FlaskInstrumentorBase(contrib.FlaskInstrumentor):
    """Contrib's instrumentor as a base class.

    Contrib's class has one instance for all subclasses. This one has its own.
    """

    _instance = None


#: The class that contrib puts in place of `flask.Flask`.
InstrumentedFlask = contrib._InstrumentedFlask
#: What contrib excludes by default.
EXCLUDED_BY_ENVIRONMENT = contrib._excluded_urls_from_env


def _code_within(maker: Any, name: str) -> CodeType:
    """The code of a function that is defined within another one."""
    return next(item for item in maker.__code__.co_consts if isinstance(item, CodeType) and item.co_name == name)


#: The code of contrib's wrapper of an app.
WRAPPER = _code_within(contrib._rewrapped_app, "_wrapped_app")
BEFORE_REQUEST = _code_within(contrib._wrapped_before_request, "_before_request")
TEARDOWN_REQUEST = _code_within(contrib._wrapped_teardown_request, "_teardown_request")


def original_wsgi_app(app: Flask) -> Any:
    """The WSGI app below contrib's wrapper; None where the app has no wrapper."""
    return app.__dict__.get("_original_wsgi_app")


def forget_functions(app: Flask) -> None:
    """Remove contrib's names from an app, so that contrib cannot remove its functions any more."""
    for name in ("_original_wsgi_app", "_before_request", "_teardown_request"):
        app.__dict__.pop(name, None)


def is_marked(app: Flask) -> bool:
    """Whether contrib, or otelflask in its place, has instrumented the app."""
    return bool(getattr(app, "_is_instrumented_by_opentelemetry", False))


def mark(app: Flask, is_instrumented: bool) -> None:
    """Mark an app as instrumented, or not, as contrib does."""
    app._is_instrumented_by_opentelemetry = is_instrumented  # type: ignore[attr-defined]


def real_instrument(item: Any) -> Any:
    """The real tracer or instrument behind the API's proxy, once there is a provider; else the item itself."""
    return getattr(item, "_real_tracer", None) or getattr(item, "_real_instrument", None) or item


def measure_this_process(instrumentor: SystemMetricsInstrumentor) -> None:
    """Make the process metrics read this process. In a forked child they would read the parent."""
    instrumentor._proc = psutil.Process()


def replace_instrumentor(kind: type[BaseInstrumentor]) -> Callable[[], None]:
    """Undo what an instrumentor has done, and have it do nothing any more.

    Args:
        kind: The instrumentor's class, which has one instance.

    Returns:
        A function that lets it work again.
    """
    instrumentor = kind()
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()
    instrumentor._is_instrumented_by_opentelemetry = True

    def undo() -> None:
        instrumentor._is_instrumented_by_opentelemetry = False

    return undo


def replace_pipeline_names(name_of: Callable[[str], str]) -> None:
    """Name the spans of redis pipelines by `name_of(commands)`. A second call changes nothing.

    The stock name is every command's name in a row.
    """
    module: Any = importlib.import_module("opentelemetry.instrumentation.redis")
    build = module._build_span_meta_data_for_pipeline
    if hasattr(build, "_otelflask"):
        return

    def bounded(instance: Any) -> tuple[list[Any], str, str]:
        commands, text, name = build(instance)
        return commands, text, name_of(name) if commands else name

    bounded._otelflask = True  # type: ignore[attr-defined]
    module._build_span_meta_data_for_pipeline = bounded
