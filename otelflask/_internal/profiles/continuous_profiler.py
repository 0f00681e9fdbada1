"""Pyroscope: a continuous profile of each worker. Its samples name their request's span."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

try:
    import pyroscope
except ImportError:
    raise ImportError("pyroscope_url needs pyroscope-io: pip install otelflask[pyroscope]") from None

from otelflask._internal import guard
from otelflask._internal.lifecycle.component import Component
from otelflask._internal.locks import new_lock
from otelflask._internal.request_record import ENVIRON_KEY, RequestRecord
from otelflask._internal.wsgi import StartResponse, WsgiApp

#: The attribute that Grafana reads on a span, and Pyroscope on a sample.
SPAN_ATTRIBUTE = "pyroscope.profile.id"
TAG = "span_id"


class ContinuousProfiler(Component):
    """Starts Pyroscope's agent with the first request of each process. A child of a process with an agent has none.

    Args:
        url: The server's URL.
        name: The application's name.
        tags: Tags of all samples.
    """

    def __init__(self, url: str, name: str, tags: dict[str, str]) -> None:
        self._url = url
        self._name = name
        self._tags = tags
        self._lock = new_lock()
        self.after_fork()

    def after_fork(self) -> None:
        """Start again in a child."""
        self._started = False

    def wrap(self, wsgi_app: WsgiApp) -> WsgiApp:
        """Return a WSGI app with samples that name the request's span. It belongs inside the request middleware."""

        def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
            if not self._started:
                self._start()
            record = environ.get(ENVIRON_KEY)
            if not isinstance(record, RequestRecord) or not record.sampled:
                return wsgi_app(environ, start_response)
            span_id = f"{record.span_context.span_id:016x}"
            record.span.set_attribute(SPAN_ATTRIBUTE, span_id)
            guard.call_hook("agent of Pyroscope", pyroscope.add_thread_tag, TAG, span_id)
            try:
                return wsgi_app(environ, start_response)
            finally:
                # In the thread that set it, also where the span ends in another one.
                guard.call_hook("agent of Pyroscope", pyroscope.remove_thread_tag, TAG, span_id)

        return application

    def _start(self) -> None:
        with self._lock:
            if self._started:
                return
            self._started = True
            with guard.log_errors("pyroscope", "the process is not profiled"):
                pyroscope.configure(
                    application_name=self._name,
                    server_address=self._url,
                    tags={**self._tags, "process_pid": str(os.getpid())},
                )
