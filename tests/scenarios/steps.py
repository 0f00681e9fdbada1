"""The scenarios, in their order: each is one action on the app."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.scenarios import acts
from tests.scenarios.client import CALLERS_PARENT, TOKEN, Answer, World, basic, bearer

Act = Callable[[World], Answer]
#: With `otelflask.init`; with zero code; and with `init` and the app's pages open.
MODES = ("init", "zero", "page")
HTML = {"Accept": "text/html"}
JSON = {"Accept": "application/json"}


@dataclass(frozen=True)
class Scenario:
    """One scenario.

    Attributes:
        modes: The modes in which it runs.
        is_ordered: Whether what arrives has a fixed order. It has none with parallel threads or processes.
    """

    name: str
    act: Act
    modes: tuple[str, ...] = ("init", "zero")
    is_ordered: bool = True


def _asked(
    name: str,
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    body: bytes | None = None,
    modes: tuple[str, ...] = ("init", "zero"),
    of: str = "shop",
) -> Scenario:
    return Scenario(name, lambda world: world.ask(method, path, headers, body, of), modes)


_REQUESTS = [
    Scenario("start", acts.nothing, MODES),
    _asked("plain_get", "GET", "/hello"),
    _asked("path_parameter", "GET", "/lamps/7"),
    _asked("not_found", "GET", "/nowhere", JSON),
    _asked("not_found_html", "GET", "/nowhere", HTML),
    _asked("not_found_api", "GET", "/api/nowhere", HTML),
    _asked("not_found_value", "GET", "/lamps/seven"),
    _asked("method_not_allowed", "DELETE", "/hello"),
    _asked("head", "HEAD", "/hello"),
    _asked("options", "OPTIONS", "/orders"),
    _asked("post_body", "POST", "/orders", {"Content-Type": "application/json"}, b'{"lamp": 7, "password": "hunter2"}'),
    _asked("unknown_method", "FOO", "/hello"),
    _asked("secret_in_query", "GET", "/hello?token=abc123secret&lamp=7&lamp=8"),
    _asked("callers_trace", "GET", "/hello", {"traceparent": CALLERS_PARENT}),
    _asked(
        "callers_state",
        "GET",
        "/hello",
        {"traceparent": CALLERS_PARENT[:-2] + "00", "tracestate": "vendor=1,other=2", "baggage": "tenant=lamps"},
    ),
    _asked("callers_request_id", "GET", "/hello", {"X-Request-ID": "order-7"}),
    _asked("hostile_request_id", "GET", "/hello", {"X-Request-ID": "a b;<script>" + "x" * 300}),
    _asked("forwarded", "GET", "/hello", {"X-Forwarded-For": "203.0.113.7", "Host": "shop.example", "X-Colour": "red"}),
    _asked("request_id_within", "GET", "/request-id"),
    _asked("redirect", "GET", "/old"),
    _asked("before_request_answers", "GET", "/hello", {"X-Gate": "closed"}),
    _asked("set_user", "GET", "/user"),
    _asked("success_helper", "GET", "/success"),
    _asked("created_helper", "POST", "/created"),
    _asked("excluded", "GET", "/excluded/path"),
    _asked("template", "GET", "/template"),
    _asked("stream", "GET", "/stream"),
    Scenario("stream_left", acts.leave_stream),
    _asked("send_file", "GET", "/file"),
    _asked("send_file_range", "GET", "/file", {"Range": "bytes=0-3"}),
    _asked("send_memory_file", "GET", "/memory-file"),
    _asked("large_body", "GET", "/large"),
]

_ERRORS = [
    _asked("forbidden", "GET", "/forbidden", HTML),
    _asked("abort_500", "GET", "/broken", JSON),
    _asked("app_error", "GET", "/sold-out", JSON),
    _asked("validation_error", "POST", "/api/lamps", body=b"{}"),
    _asked("rate_limit_error", "GET", "/api/limited"),
    _asked("blueprint_json", "GET", "/machines/7", HTML),
    _asked("unhandled", "GET", "/boom", HTML),
    _asked("unhandled_api", "GET", "/api/boom"),
    _asked("chained", "GET", "/chained", JSON),
    _asked("error_in_except", "GET", "/context", JSON),
    _asked("exception_group", "GET", "/group", JSON),
    _asked("exceptions_member", "GET", "/several", JSON),
    _asked("secrets_in_error", "GET", "/secrets?password=hunter2", {"Cookie": "session=abc", **basic("ada", "pw")}),
    _asked("recursion", "GET", "/recursion", JSON),
    _asked("unspeakable", "GET", "/unspeakable", JSON),
    _asked("long_message", "GET", "/long-message", JSON),
    _asked("handled_as_400", "GET", "/answered/400"),
    _asked("handled_as_500", "GET", "/answered/500"),
    _asked("error_before_request", "GET", "/hello", {"X-Fails": "before"}),
    _asked("error_after_request", "GET", "/hello", {"X-Fails": "after"}),
    _asked("error_teardown", "GET", "/hello", {"X-Fails": "teardown"}),
    _asked("stream_fails", "GET", "/stream/fails"),
    Scenario("breaker_opens", acts.break_circuit),
]

_LINES = [
    _asked("log_exception", "GET", "/log/exception"),
    _asked("log_error", "GET", "/log/error"),
    _asked("log_breadcrumbs", "GET", "/log/breadcrumbs", JSON),
    _asked("log_extra", "GET", "/log/extra"),
    _asked("log_exc_info", "GET", "/log/exc-info"),
    _asked("log_two_lines", "GET", "/log/two-lines"),
    _asked("capture_exception", "GET", "/capture/exception"),
    _asked("capture_message", "GET", "/capture/message"),
    _asked("event", "GET", "/event"),
    _asked("event_reserved", "GET", "/event/reserved"),
    _asked("own_span", "GET", "/own-span"),
    _asked("own_counter", "GET", "/own-counter"),
    Scenario("line_outside", acts.line_outside),
    Scenario("error_outside", acts.error_outside),
    Scenario("event_outside", acts.event_outside),
    Scenario("uncaught_in_thread", acts.uncaught_in_thread),
    Scenario("websocket", acts.websocket),
    Scenario("websocket_fails", acts.websocket_fails),
    Scenario("socketio_event", acts.socketio_event),
    Scenario("socketio_fails", acts.socketio_fails),
]

_STATEMENTS = [
    _asked("select", "GET", "/select"),
    _asked("repeated", "GET", "/repeated"),
    _asked("slow", "GET", "/slow"),
    _asked("stream_select", "GET", "/stream/select"),
    _asked("insert", "POST", "/insert"),
    _asked("rollback", "POST", "/rollback"),
    _asked("insert_many", "POST", "/insert-many"),
    _asked("failing_statement", "POST", "/insert-twice", JSON),
    Scenario("statement_outside", acts.statement_outside),
    _asked("thread", "GET", "/thread"),
    _asked("thread_copied", "GET", "/thread/copied"),
    _asked("scheduled_job", "GET", "/ship/red"),
    _asked("scheduled_job_fails", "GET", "/ship/broken"),
    _asked("scheduled_job_missed", "GET", "/ship/late"),
    Scenario("command", acts.command),
    Scenario("command_fails", acts.command_fails),
]

_PAGES_OF_ALL = [
    _asked("health", "GET", "/health"),
    _asked("health_ready", "GET", "/health/ready"),
    _asked("health_details", "GET", "/health", bearer(TOKEN)),
    _asked("monitor_without_token", "GET", "/monitoring", HTML),
    _asked("monitor_token_in_url", "GET", f"/monitoring/logs?token={TOKEN}&text=lamp"),
    _asked("metrics_of_others", "GET", "/metrics", {"X-Forwarded-For": "203.0.113.7"}),
]

_PROCESSES = [
    _asked("second_app", "GET", "/count", of="stock"),
    _asked("second_app_error", "GET", "/api/shelf", of="stock"),
    _asked("second_app_success", "GET", "/api/data", of="stock"),
    _asked("nested_app", "GET", "/inner/count", of="nested"),
    _asked("around_nested_app", "GET", "/hello", of="nested"),
    Scenario("fork", acts.fork, is_ordered=False),
    Scenario("fork_within_request", lambda world: world.ask("GET", "/fork"), is_ordered=False),
    Scenario("job", lambda world: world.run_job()),
    _asked("resource", "GET", "/hello"),
    _asked("metric_names", "GET", "/hello"),
]

_LIVE = [
    Scenario("seen", acts.be_seen, ("page",)),
    _asked("metrics", "GET", "/metrics", modes=("page",)),
    _asked(
        "metrics_openmetrics",
        "GET",
        "/metrics",
        {"Accept": "application/openmetrics-text; version=1.0.0"},
        modes=("page",),
    ),
    *(
        _asked(
            f"live_{name.partition('?')[0] or 'overview'}", "GET", f"/monitoring/{name}", bearer(TOKEN), None, ("page",)
        )
        for name in ("?live=0", "requests?live=0", "logs?live=0", "errors?live=0", "queries?live=0", "runtime?live=0")
    ),
    Scenario("live_trace", acts.live_trace, ("page",)),
    Scenario("live_error", acts.live_error, ("page",)),
    _asked("live_frame", "GET", "/monitoring/logs?text=lamp", bearer(TOKEN), modes=("page",)),
]

SCENARIOS = [*_REQUESTS, *_ERRORS, *_LINES, *_STATEMENTS, *_PAGES_OF_ALL, *_PROCESSES, *_LIVE]


def of_mode(mode: str) -> list[Scenario]:
    """The scenarios of a mode."""
    return [scenario for scenario in SCENARIOS if mode in scenario.modes]
