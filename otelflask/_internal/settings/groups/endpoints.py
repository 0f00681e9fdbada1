"""Endpoints: health, live page, metrics page and profiles."""

from __future__ import annotations

from dataclasses import dataclass

from otelflask._internal.settings.setting import per_app, setting


@dataclass(frozen=True, kw_only=True)
class EndpointSettings:
    """Endpoints."""

    health_path: str = per_app(
        "OTELFLASK_HEALTH_PATH",
        "/health",
        "The path of the health endpoint, with `/live`, `/ready` and `/startup` below it. Empty: none.",
    )
    health_token: str = per_app(
        "OTELFLASK_HEALTH_TOKEN",
        "",
        "With `Authorization: Bearer TOKEN` the answers have details. Empty: they have details in development.",
        secret=True,
    )
    health_redis: str = setting(
        "OTELFLASK_HEALTH_REDIS",
        "",
        "The URL of a redis without which the app is not ready. Empty: no redis is checked.",
    )
    health_drain: float = per_app(
        "OTELFLASK_HEALTH_DRAIN",
        3.0,
        "After SIGTERM, gunicorn with `otelflask.gunicorn` is not ready for this time, but still accepts connections.",
        minimum=0.0,
        unit="seconds",
    )
    monitor: str = per_app(
        "OTELFLASK_MONITOR",
        "auto",
        "The live page. `auto`: in development, for visitors from this machine. `on`: for visitors with "
        "`monitor_token`, or whom `init(may_monitor=function)` admits. `off`: for nobody.",
        choices=("auto", "on", "off"),
    )
    monitor_path: str = per_app(
        "OTELFLASK_MONITOR_PATH",
        "/monitoring",
        "The path of the live page. Empty: none.",
    )
    monitor_token: str = per_app(
        "OTELFLASK_MONITOR_TOKEN",
        "",
        "Opens the live page where `monitor` is `on`: call `/monitoring?token=TOKEN` once, which sets a cookie.",
        secret=True,
    )
    monitor_size: int = setting(
        "OTELFLASK_MONITOR_SIZE",
        10_000,
        "The number of spans and log lines that each worker keeps for the live page. Those of failed and slow "
        "requests are kept longer.",
        minimum=100,
    )
    metrics_path: str = per_app(
        "OTELFLASK_METRICS_PATH",
        "",
        "The path of the metrics page for Prometheus, such as `/metrics`. Empty: none. Needs `otelflask[prometheus]`.",
    )
    metrics_flask_names: bool = per_app(
        "OTELFLASK_METRICS_FLASK_NAMES",
        False,
        "Shows the metrics page's requests, users and statements also as `flask_requests_total`, "
        "`flask_request_duration_seconds`, `flask_active_users`, `db_query_count_total` and `db_query_duration`.",
    )
    metrics_token: str = per_app(
        "OTELFLASK_METRICS_TOKEN",
        "",
        "The metrics page requires `Authorization: Bearer TOKEN`. Empty: it is open in development, and "
        "elsewhere for this machine only.",
        secret=True,
    )
    profile_path: str = per_app(
        "OTELFLASK_PROFILE_PATH",
        "/profiles",
        "The path of stored profiles. Empty: no request is profiled. Needs `otelflask[profile]`.",
    )
    profile_token: str = per_app(
        "OTELFLASK_PROFILE_TOKEN",
        "",
        "With `X-Profile-Token: TOKEN` a request can ask for its profile. Empty: any request can in development.",
        secret=True,
    )
    profile_share: float = per_app(
        "OTELFLASK_PROFILE_SHARE",
        0.0,
        "The share of all requests, from 0 to 1, that is profiled. Only the profiles of slow ones are stored.",
        minimum=0.0,
    )
    profile_slow: float = per_app(
        "OTELFLASK_PROFILE_SLOW",
        1.0,
        "The minimum duration of a slow request, for `profile_share`.",
        minimum=0.0,
        unit="seconds",
    )
    profile_count: int = per_app(
        "OTELFLASK_PROFILE_COUNT",
        50,
        "The number of profiles that are stored, the newest ones.",
        minimum=1,
    )
    profile_dir: str = per_app(
        "OTELFLASK_PROFILE_DIR",
        "",
        "The folder of stored profiles, such as `profiles`. Empty: `profiles` in `state_dir`.",
    )
    pyroscope_url: str = setting(
        "OTELFLASK_PYROSCOPE_URL",
        "",
        "The Pyroscope server for continuous profiles of each worker, such as `http://127.0.0.1:4040`. Empty: "
        "none. Needs `otelflask[pyroscope]`.",
    )
    state_dir: str = setting(
        "OTELFLASK_STATE_DIR",
        "",
        "The folder in which the processes of a machine share files, such as when each group of errors was "
        "mailed. Empty: `otelflask-<user id>` in the temporary directory.",
    )
