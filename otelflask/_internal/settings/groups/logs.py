"""Logs: records of `logging`, console and files."""

from __future__ import annotations

from dataclasses import dataclass

from otelflask._internal.settings.setting import setting


@dataclass(frozen=True, kw_only=True)
class LogSettings:
    """Logs."""

    logs: bool = setting("OTELFLASK_LOGS", True, "Sends records of the `logging` module.")
    log_level: str = setting(
        "OTEL_PYTHON_LOG_HANDLER_LEVEL",
        "notset",
        "The lowest level that is sent. The loggers' own levels count as usual.",
        choices=("notset", "debug", "info", "warning", "error", "critical"),
    )
    log_console: str = setting(
        "OTELFLASK_LOG_CONSOLE",
        "off",
        "Writes log lines to stderr: `text` for people, `json` for programs. `auto` is `text` in debug mode "
        "and in the environment `development`, else `json`.",
        choices=("off", "auto", "text", "json"),
    )
    log_dir: str = setting(
        "OTELFLASK_LOG_DIR", "", "The folder of the log files. Empty: none. Needs `otelflask[files]`."
    )
    log_file_name: str = setting("OTELFLASK_LOG_FILE_NAME", "app.log", "The name of the file with all lines.")
    log_error_file_name: str = setting(
        "OTELFLASK_LOG_ERROR_FILE_NAME", "error.log", "The name of the file with lines from ERROR upwards. Empty: none."
    )
    log_file_format: str = setting(
        "OTELFLASK_LOG_FILE_FORMAT",
        "json",
        "The format of lines in the files: `json`, `text`, or a format of `logging`, such as "
        "`%(asctime)s %(levelname)s: %(message)s [in %(pathname)s:%(lineno)d]`.",
    )
    log_file_size: int = setting(
        "OTELFLASK_LOG_FILE_SIZE", 10_000_000, "The size at which a file is rotated.", minimum=1_000, unit="bytes"
    )
    log_file_count: int = setting(
        "OTELFLASK_LOG_FILE_COUNT", 5, "The number of rotated files that are kept of each file.", minimum=1
    )
    log_file_queue_size: int = setting(
        "OTELFLASK_LOG_FILE_QUEUE_SIZE",
        10_000,
        "The maximum number of lines that wait to be written. Further ones are dropped and counted.",
        minimum=1,
    )
    console: str = setting(
        "OTELFLASK_CONSOLE",
        "off",
        "`traces` prints each ended request as a tree of its spans, log lines and error.",
        choices=("off", "traces"),
    )
