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
    assert _told(monkeypatch, {variable: "1000"}) == []


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"OTEL_CONFIG_FILE": "otel.yaml"}, "OTEL_CONFIG_FILE has no effect: write its values as OTEL_* variables"),
        ({"OTEL_PYTHON_TRACER_CONFIGURATOR": "x"}, "pass a tracer_provider of yours to otelflask.init"),
        ({"OTEL_BSP_EXPORT_TIMEOUT": "1000"}, "OTEL_EXPORTER_OTLP_TIMEOUT limits a request"),
        ({"OTEL_PYTHON_LOG_CORRELATION": "true"}, "log_console and log_dir write lines with the trace"),
        ({"OTEL_SEMCONV_STABILITY_OPT_IN": "http/dup"}, "requests and statements have the stable names all the same"),
        ({"OTEL_BSP_SCHEDULE_DELAY": "soon"}, "is 'soon'; allowed is a whole number of at least 1 milliseconds; it is"),
        ({"OTEL_SDK_DISABLED": "yes"}, "is 'yes', which is false; allowed is true"),
    ],
)
def test_a_variable_of_opentelemetry_that_has_no_effect_is_told(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], said: str
) -> None:
    (text,) = _told(monkeypatch, environ)
    assert said in text


@pytest.mark.parametrize(
    "environ",
    [{"OTEL_CONFIG_FILE": ""}, {"OTEL_SEMCONV_STABILITY_OPT_IN": "http,database"}, {"OTEL_SDK_DISABLED": "false"}],
)
def test_a_variable_that_asks_for_nothing_else_is_not_told(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    assert _told(monkeypatch, environ) == []


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
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/v1/traces"},
            "/v1/… is added for each signal; write http://c:4318",
        ),
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


def test_credentials_of_an_endpoint_are_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    for endpoint in ("http://shop:s3cr3t@c:4317", "http://shop:s3cr3t@c:4318/v1/traces"):
        texts = _told(monkeypatch, {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
        assert texts
        assert "s3cr3t" not in str(texts)


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


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"OTEL_TRACES_SAMPLER": "traceidratios"}, "so all traces are recorded; did you mean traceidratio?"),
        ({"OTEL_TRACES_SAMPLER": "half"}, "so all traces are recorded; allowed are always_on, "),
        (
            {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "10"},
            "OTEL_TRACES_SAMPLER_ARG is '10', so all traces are recorded; allowed is a number from 0 to 1",
        ),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "authorization: Bearer s3cr3t"}, "OTEL_EXPORTER_OTLP_HEADERS has an entry"),
    ],
    ids=str,
)
def test_what_the_sdk_replaces_or_leaves_out_is_named_without_secrets(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], said: str
) -> None:
    (text,) = _told(monkeypatch, environ)
    assert said in text
    assert "s3cr3t" not in text


@pytest.mark.parametrize(
    "environ",
    [
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"},
        {"OTEL_TRACES_SAMPLER": "always_off"},
        {"OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20x,tenant=shop"},
    ],
    ids=str,
)
def test_a_sampler_and_headers_that_work_are_not_named(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str]
) -> None:
    assert _told(monkeypatch, environ) == []


@pytest.mark.parametrize(("given", "meant"), [("dev", "development"), ("prod", "production"), ("stage", "staging")])
def test_a_short_name_of_an_environment_names_the_usual_one(
    monkeypatch: pytest.MonkeyPatch, given: str, meant: str
) -> None:
    (text,) = _told(monkeypatch, {}, Settings(environment=given))
    assert text == f"environment is {given!r}; did you mean {meant!r}? Any name is allowed"


def test_development_counts_in_any_case_of_its_letters() -> None:
    assert Settings(environment="Development").is_development
    assert not Settings(environment="dev").is_development
