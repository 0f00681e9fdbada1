"""Variables of the environment that are misspelt or cannot work are told at start, with what to write."""

from __future__ import annotations

import pytest

from otelflask._internal.settings import Settings
from otelflask._internal.wiring import variables


def _told(monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], settings: Settings | None = None) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr("otelflask._internal.guard.log", lambda key, message, *args: told.append(message % args))
    variables.tell(settings or Settings(), environ)
    return told


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("OTELFLASK_SLOW_QUERY_TRESHOLD", "did you mean OTELFLASK_SLOW_QUERY_THRESHOLD?"),
        ("OTELFLASK_LOG_LEVEL", "did you mean OTEL_PYTHON_LOG_HANDLER_LEVEL?"),
        ("OTELFLASK_SERVICE_NAME", "did you mean OTEL_SERVICE_NAME?"),
        ("OTELFLASK_XYZZY", "docs/settings.md lists all variables"),
        ("OTEL_SERVICE_NAM", "did you mean OTEL_SERVICE_NAME?"),
        ("OTEL_EXPORTER_OTLP_ENDPIONT", "did you mean OTEL_EXPORTER_OTLP_ENDPOINT?"),
        ("OTEL_TRACE_SAMPLER", "did you mean OTEL_TRACES_SAMPLER?"),
    ],
)
def test_a_variable_that_nothing_reads_names_the_nearest(
    monkeypatch: pytest.MonkeyPatch, variable: str, said: str
) -> None:
    (text,) = _told(monkeypatch, {variable: "2"})
    assert text.startswith(f"the environment variable {variable} is not used; ")
    assert text.endswith(said)


@pytest.mark.parametrize(
    "variable",
    ["OTELFLASK_HEALTH_PATH", "OTEL_BSP_SCHEDULE_DELAY", "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "PATH"],
)
def test_variables_that_are_read_here_or_elsewhere_are_not_told(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    assert _told(monkeypatch, {variable: "x"}) == []


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4318"}, "it has no scheme; write http://collector:4318 or"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"}, "4317 is the port of gRPC; write http://collector:4318"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317"}, "or OTEL_EXPORTER_OTLP_PROTOCOL=grpc"),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "4318 is the port of HTTP; write port 4317, or OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        ),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318"}, "write http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://c:4318/"}, "write http://c:4318/v1/logs"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:43x8"}, "write an address such as http://localhost:4318"),
    ],
    ids=str,
)
def test_an_endpoint_that_cannot_work_is_told_once_with_what_to_write(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], said: str
) -> None:
    told = set(_told(monkeypatch, environ))
    assert len(told) == 1
    assert said in told.pop()


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://otlp.example/x"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"},
        {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318",
            "OTEL_TRACES_EXPORTER": "none",
        },
    ],
    ids=str,
)
def test_endpoints_that_work_or_are_not_used_are_not_told(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    assert _told(monkeypatch, environ) == []


@pytest.mark.parametrize(("name", "near"), [("prodution", "production"), ("Staging", ""), ("eu-west", "")])
def test_an_environment_that_is_nearly_a_usual_one_is_told(
    monkeypatch: pytest.MonkeyPatch, name: str, near: str
) -> None:
    told = _told(monkeypatch, {}, Settings(environment=name))
    assert told == ([f"environment is '{name}'; did you mean '{near}'? Any name is allowed"] if near else [])
