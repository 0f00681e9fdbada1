"""OpenTelemetry's instrumentations (contrib): what they leave on an app, and functions of theirs that ours share.

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
    "replace_pipeline_names",
    "traceparent_values",
]


class FlaskInstrumentorBase(contrib.FlaskInstrumentor):
    """Contrib's instrumentor, whose subclass has an object of its own: contrib's class hands its one object on."""

    _instance = None


#: The class that contrib puts in the place of `flask.Flask`.
InstrumentedFlask = contrib._InstrumentedFlask
#: What contrib excludes where the user has excluded nothing.
EXCLUDED_BY_ENVIRONMENT = contrib._excluded_urls_from_env


def _code_within(maker: Any, name: str) -> CodeType:
    """The code of the function of this name that another one makes."""
    return next(item for item in maker.__code__.co_consts if isinstance(item, CodeType) and item.co_name == name)


#: The code of what contrib puts around, before and after an app's requests.
WRAPPER = _code_within(contrib._rewrapped_app, "_wrapped_app")
BEFORE_REQUEST = _code_within(contrib._wrapped_before_request, "_before_request")
TEARDOWN_REQUEST = _code_within(contrib._wrapped_teardown_request, "_teardown_request")


def original_wsgi_app(app: Flask) -> Any:
    """What contrib's wrapper of the app stands around; None where there is none."""
    return app.__dict__.get("_original_wsgi_app")


def forget_functions(app: Flask) -> None:
    """Take the names off an app by which contrib would take off its functions."""
    for name in ("_original_wsgi_app", "_before_request", "_teardown_request"):
        app.__dict__.pop(name, None)


def is_marked(app: Flask) -> bool:
    """Whether contrib, or we in its place, have instrumented the app."""
    return bool(getattr(app, "_is_instrumented_by_opentelemetry", False))


def mark(app: Flask, is_instrumented: bool) -> None:
    """Say so of an app, as contrib does."""
    app._is_instrumented_by_opentelemetry = is_instrumented  # type: ignore[attr-defined]


def real_instrument(item: Any) -> Any:
    """What the API's stand-in for a tracer or an instrument stands for, once there is a provider; else the item."""
    return getattr(item, "_real_tracer", None) or getattr(item, "_real_instrument", None) or item


def measure_this_process(instrumentor: SystemMetricsInstrumentor) -> None:
    """Let the process metrics be of this process: in a forked child they are of the parent."""
    instrumentor._proc = psutil.Process()


def replace_pipeline_names(name_of: Callable[[str], str]) -> None:
    """Name the spans of redis pipelines by `name_of(commands)`; a second call changes nothing.

    Stock: every command's name, one after the other, is the span's.
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
