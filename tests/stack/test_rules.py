"""Recording rules and alerts, by promtool: each alert fires in one case and stays quiet in another."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.stack import provisioned
from tests.stack.compose import ROOT, Stack, docker_missing

SHOP = 'service_name="shop",deployment_environment_name="demo"'
WHO = {"service_name": "shop", "deployment_environment_name": "demo"}
RULES = ROOT / "collector" / "prometheus-rules.yaml"
REQUESTS = "http_server_request_duration_seconds"


@pytest.fixture(scope="module")
def promtool() -> list[str]:
    """The command, from the stack's own image. /work is the folder that is given to `_run`."""
    if shutil.which("promtool"):
        return ["promtool"]
    reason = docker_missing()
    if reason:
        pytest.skip(f"promtool is not installed, and without Docker its image does not run: {reason}")
    image = Stack().images["prometheus"]
    if not Stack._available(image):
        pytest.skip(f"promtool is not installed, and its image {image} cannot be had")
    return ["docker", "run", "--rm", "--entrypoint", "/bin/promtool", image]


def _run(promtool: list[str], folder: Path, *arguments: str) -> str:
    if promtool[0] == "docker":
        user = f"{os.getuid()}:{os.getgid()}"
        options = ["--user", user, "--volume", f"{folder}:{folder}:ro", "--workdir", str(folder)]
        promtool = [*promtool[:3], *options, *promtool[3:]]
    done = subprocess.run([*promtool, *arguments], cwd=folder, capture_output=True, text=True, timeout=120)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return output


def _requests(rate: float, *, status: str = "200", route: str = "/x", error: str = "", slow: float = 0) -> list[Any]:
    """Count and buckets of `rate` requests a second for an hour; the share `slow` of them takes two seconds."""
    labels = f'{SHOP},http_route="{route}",http_response_status_code="{status}"'
    if error:
        labels += f',error_type="{error}"'
    step = rate * 15
    fast = step * (1 - slow)
    return [
        _input(f"{REQUESTS}_count{{{labels}}}", f"0+{step}x400"),
        _input(f'{REQUESTS}_bucket{{{labels},le="0.5"}}', f"0+{fast}x400"),
        _input(f'{REQUESTS}_bucket{{{labels},le="1"}}', f"0+{fast}x400"),
        _input(f'{REQUESTS}_bucket{{{labels},le="2.5"}}', f"0+{step}x400"),
        _input(f'{REQUESTS}_bucket{{{labels},le="+Inf"}}', f"0+{step}x400"),
    ]


def _input(series: str, values: str) -> dict[str, str]:
    return {"series": series, "values": values}


def _runs(failed: int, succeeded: int) -> list[Any]:
    """Runs of a job that end in each 15 s, for an hour and a half."""
    count = (
        f'otelflask_job_duration_seconds_count{{{SHOP},otelflask_job_name="shop.confirm",otelflask_job_system="celery"'
    )
    return [
        _input(f'{count},otelflask_job_result="failure"}}', f"0+{failed}x400"),
        _input(f'{count},otelflask_job_result="success"}}', f"0+{succeeded}x400"),
    ]


def _waits(late: int, in_time: int) -> list[Any]:
    """Runs that begin in each 15 s, two minutes late and in time."""
    bucket = f'otelflask_job_queue_duration_seconds_bucket{{{SHOP},otelflask_job_name="shop.confirm"'
    return [
        _input(f'{bucket},le="1"}}', f"0+{in_time}x400"),
        _input(f'{bucket},le="60"}}', f"0+{in_time}x400"),
        _input(f'{bucket},le="300"}}', f"0+{in_time + late}x400"),
        _input(f'{bucket},le="+Inf"}}', f"0+{in_time + late}x400"),
    ]


TARGET = f"target_info{{{SHOP}}}"
WORKERS = f'otelflask_job_queue_length{{{SHOP},messaging_destination_name="shop"}}'
OF_JOB = {**WHO, "otelflask_job_name": "shop.confirm"}
QUEUE = 'otelcol_exporter_queue_%s{exporter="otlp_http/traces"}'
UP = 'up{job="collector",instance="collector:8888"}'

#: Alert → (series that make it fire, labels that it then has; series that keep it quiet).
CASES: dict[str, tuple[list[Any], dict[str, str], list[Any]]] = {
    "ErrorBudgetBurnsFast": (
        [*_requests(8), *_requests(2, status="500", error="E")],
        {**WHO, "slo": "availability"},
        [*_requests(100), *_requests(0.1, status="500", error="E")],
    ),
    "ErrorBudgetBurnsSlowly": (
        [*_requests(97), *_requests(3, status="500", error="E")],
        {**WHO, "slo": "availability"},
        [*_requests(99.9), *_requests(0.1, status="500", error="E")],
    ),
    "HighErrorRate": (
        [*_requests(9), *_requests(1, status="503", error="503")],
        WHO,
        [*_requests(99), *_requests(1, status="503", error="503")],
    ),
    "HighLatency": (_requests(10, slow=0.2), WHO, _requests(10, slow=0.01)),
    "TargetDown": ([_input(UP, "0x400")], {"job": "collector", "instance": "collector:8888"}, [_input(UP, "1x400")]),
    "QueueFilling": (
        [_input(QUEUE % "size", "600x400"), _input(QUEUE % "capacity", "1000x400")],
        {"exporter": "otlp_http/traces"},
        [_input(QUEUE % "size", "100x400"), _input(QUEUE % "capacity", "1000x400")],
    ),
    "DiskFilling": (
        [_input('system_filesystem_utilization_ratio{device="/dev/vda"}', "0.9x400")],
        {"device": "/dev/vda"},
        [_input('system_filesystem_utilization_ratio{device="/dev/vda"}', "0.5x400")],
    ),
    "ServiceSilent": (
        [_input(TARGET, "1x260 _x140")],
        WHO,
        # One goes on, one ran for half an hour, and one was on a developer's machine.
        [
            _input(TARGET, "1x400"),
            _input('target_info{service_name="tried"}', "1x120 _x280"),
            _input('target_info{service_name="mine",deployment_environment_name="development"}', "1x260 _x140"),
        ],
    ),
    "HighJobFailureRate": (_runs(1, 5), OF_JOB, _runs(1, 20)),
    "JobsLate": (_waits(1, 5), OF_JOB, _waits(1, 50)),
    "WorkersSilent": (
        [_input(TARGET, "1x400"), _input(WORKERS, "0x260 _x140")],
        {**WHO, "messaging_destination_name": "shop"},
        # One goes on, one was tried, and the service of one is silent itself.
        [
            _input(TARGET, "1x400"),
            _input(WORKERS, "0x400"),
            _input(WORKERS.replace('="shop"}', '="tried"}'), "0x120 _x280"),
            _input('target_info{service_name="gone"}', "1x260 _x140"),
            _input('otelflask_job_queue_length{service_name="gone",messaging_destination_name="q"}', "0x260 _x140"),
        ],
    ),
    "TelemetryLost": (
        [_input(f'otel_sdk_processor_span_processed_total{{{SHOP},error_type="queue_full"}}', "0+5x400")],
        {},
        [_input(f'otel_sdk_processor_span_processed_total{{{SHOP},error_type="queue_full"}}', "5x400")],
    ),
}


#: When it is asked for, if not in the last minutes of an hour.
END = {"ServiceSilent": "98m", "WorkersSilent": "98m"}


@pytest.mark.slow
def test_prometheus_accepts_its_configuration_and_rules(promtool: list[str]) -> None:
    output = _run(promtool, ROOT / "collector", "check", "config", "--lint=all", "--lint-fatal", "prometheus.yaml")
    assert "SUCCESS" in output
    _run(promtool, ROOT / "collector", "check", "rules", "--lint=all", "--lint-fatal", "prometheus-rules.yaml")


def test_every_alert_has_a_case() -> None:
    # The cases of alerts about logs are in test_inbox.py, those of servers that are down in test_bad_day.py.
    assert set(CASES) == {
        name
        for name, rule in provisioned.alerts().items()
        if provisioned.source_of(rule) == "prometheus" and rule["execErrState"] != "Alerting"
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("fires", [True, False], ids=["fires", "is_quiet"])
def test_an_alert(promtool: list[str], tmp_path: Path, name: str, fires: bool) -> None:
    firing, labels, quiet = CASES[name]
    rule = provisioned.alerts()[name]
    alert = {"alert": name, "expr": provisioned.alert_expression(rule), "for": rule["for"], "labels": rule["labels"]}
    (tmp_path / "alert.yaml").write_text(json.dumps({"groups": [{"name": "alert", "rules": [alert]}]}))
    shutil.copy(RULES, tmp_path / "rules.yaml")
    expected = [{"exp_labels": {**labels, **rule["labels"]}}] if fires else []
    test = {
        "rule_files": ["rules.yaml", "alert.yaml"],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": firing if fires else quiet,
                "alert_rule_test": [{"eval_time": END.get(name, "58m"), "alertname": name, "exp_alerts": expected}],
            }
        ],
    }
    (tmp_path / "test.yaml").write_text(json.dumps(test))
    _run(promtool, tmp_path, "test", "rules", "test.yaml")


def _until(series: list[Any], step: int) -> list[Any]:
    """The same series, without samples after a step."""
    return [_input(one["series"], re.sub(r"x400$", f"x{step} _x{500 - step}", one["values"])) for one in series]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(CASES) - {"TargetDown"}))
def test_an_alert_goes_on_while_the_collector_is_down(promtool: list[str], tmp_path: Path, name: str) -> None:
    firing, labels, _ = CASES[name]
    minutes = int(END.get(name, "58m").removesuffix("m"))
    step = minutes * 4
    series = [*_until(firing, step), _input(UP, f"1x{step} 0x{500 - step}")]
    expression = f"group by ({', '.join(labels)}) ({provisioned.alert_expression(provisioned.alerts()[name])})"
    text = "{" + ", ".join(f'{label}="{value}"' for label, value in labels.items()) + "}"
    case = {"expr": expression, "eval_time": f"{minutes + 20}m", "exp_samples": [{"labels": text, "value": 1}]}
    _ask(promtool, tmp_path, series, case, rules=True)


@pytest.mark.slow
@pytest.mark.parametrize("collector", ["1x500", "1x280 0x220"], ids=["up", "down"])
def test_what_has_ended_before_does_not_fire_again(promtool: list[str], tmp_path: Path, collector: str) -> None:
    expression = provisioned.alert_expression(provisioned.alerts()["HighErrorRate"])
    # All of them fail until 40 minutes have passed, and none after it, until the collector is down at 70 minutes.
    count = f'{REQUESTS}_count{{{SHOP},http_route="/x",http_response_status_code="%s"}}'
    failed, answered = _input(count % 503, "0+15x160 2400x120 _x220"), _input(count % 200, "0x160 0+15x120 _x220")
    asked = [{"expr": expression, "eval_time": f"{minute}m", "exp_samples": []} for minute in (60, 69, 75, 90)]
    _ask(promtool, tmp_path, [failed, answered, _input(UP, collector)], *asked, rules=True)


def _ask(promtool: list[str], folder: Path, series: list[Any], *cases: dict[str, Any], rules: bool = False) -> None:
    """Ask promtool for the results of expressions (`promql_expr_test`) over series with a sample every 15 s."""
    if rules:
        shutil.copy(RULES, folder / "rules.yaml")
    test = {
        "rule_files": ["rules.yaml"] if rules else [],
        "evaluation_interval": "15s",
        "tests": [{"interval": "15s", "input_series": series, "promql_expr_test": list(cases)}],
    }
    (folder / "test.yaml").write_text(json.dumps(test))
    _run(promtool, folder, "test", "rules", "test.yaml")


@pytest.mark.slow
def test_no_service_is_silent_while_the_collector_is_down(promtool: list[str], tmp_path: Path) -> None:
    expression = provisioned.alert_expression(provisioned.alerts()["ServiceSilent"])
    series = [_input(TARGET, "1x260 _x140"), _input(UP, "1x260 0x140")]
    case = {"expr": expression, "eval_time": "98m", "exp_samples": []}
    _ask(promtool, tmp_path, series, case)


@pytest.mark.slow
def test_what_the_recording_rules_record(promtool: list[str], tmp_path: Path) -> None:
    who = f"{{{SHOP}%s}}"
    of_route = who % ',http_route="/x"'

    def value(record: str, number: float, *labels: str) -> dict[str, Any]:
        samples = [{"labels": label, "value": number} for label in labels]
        return {"expr": f"round({record}, 0.001)", "eval_time": "58m", "exp_samples": samples}

    bad = [
        {"labels": who % ',slo="availability"', "value": 0.1},
        {"labels": who % ',slo="latency"', "value": 0.45},
    ]
    ratios = [
        {"expr": f"round(otelflask:slo_errors:ratio_rate{window}, 0.001)", "eval_time": "58m", "exp_samples": bad}
        for window in ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
    ]
    _ask(
        promtool,
        tmp_path,
        [*_requests(9, slow=0.5), *_requests(1, status="500", error="E")],
        value("otelflask:requests:rate2m", 10, of_route),
        value("otelflask:errors:rate2m", 1, of_route),
        *ratios,
        rules=True,
    )


@pytest.mark.slow
def test_the_share_of_a_route_that_began_to_fail_is_of_all_its_requests(promtool: list[str], tmp_path: Path) -> None:
    (panel,) = [
        panel for panel in provisioned.dashboards()["service.json"]["panels"] if panel["title"] == "Failing routes"
    ]
    values = {"__range": "60m", "service": "shop", "environment": ".*", "route": ".*"}
    share = provisioned.fill_in(panel["targets"][1]["expr"], values)
    labels = f'{SHOP},http_route="/x",http_response_status_code='
    # 300 errors in the last five minutes, beside 36,000 requests in the hour: 9 % of the rate then.
    series = [
        _input(f'{REQUESTS}_count{{{labels}"200"}}', "0+150x240"),
        _input(f'{REQUESTS}_count{{{labels}"500"}}', "_x220 0+15x20"),
    ]
    samples = [{"labels": '{http_route="/x"}', "value": 0.008}]
    _ask(promtool, tmp_path, series, {"expr": f"round({share}, 0.001)", "eval_time": "60m", "exp_samples": samples})


@pytest.mark.slow
def test_what_was_lost_while_no_sample_came_is_counted_when_one_comes(promtool: list[str], tmp_path: Path) -> None:
    # With the collector down for a quarter of an hour, a process whose first sample has a loss already, one that has
    # ended since, and a collector that began again.
    lost = 'otel_sdk_processor_span_processed_total{service_name="shop",instance="%s",error_type="queue_full"}'
    series = [
        _input(lost % "a", "5x20 _x60 722x40"),
        _input(lost % "b", "_x81 58x39"),
        _input(lost % "c", "0x50 7x1 _x70"),
        _input('otelcol_exporter_send_failed_spans_total{exporter="otlp_http"}', "100x59 0x10 50x52"),
    ]
    lost_now = provisioned.alert_expression(provisioned.alerts()["TelemetryLost"])
    # `increase`, which counts over the restart, is an estimate.
    expression = f"abs(({lost_now}) - 832) < bool 2"
    samples = [{"labels": "{}", "value": 1}]
    _ask(promtool, tmp_path, series, {"expr": expression, "eval_time": "22m", "exp_samples": samples})
