"""Read the effective settings, and reject wrong ones.

Precedence: keyword argument > ``app.config["OTELFLASK_<NAME>"]`` > environment > names of other
packages (`known_names`) > default. An empty ``OTELFLASK_*`` variable is a value: the empty text,
false, or ``off``. A number must not be empty.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields
from email.utils import getaddresses
from typing import Any

from otelflask._internal.settings import SettingError, Settings
from otelflask._internal.settings.known_names import OF_MAIL_SERVER, known_names

_ADDRESS = re.compile(r"[^@\s<>,;]+@[^@\s<>,;]+")
#: Settings that are URL paths, with an example for the message.
_PATH_EXAMPLES = {
    "health_path": "/health",
    "metrics_path": "/metrics",
    "profile_path": "/profiles",
    "monitor_path": "/monitoring",
}
#: Settings that are URLs, with an example for the message.
_URL_EXAMPLES = {
    "health_redis": "redis://localhost:6379/0",
    "pyroscope_url": "http://127.0.0.1:4040",
    "grafana_url": "http://127.0.0.1:3000",
}
_OF_ENVIRONMENT = "environment variable "
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


def _parse(name: str, source: str, value: Any, default: Any, metadata: Mapping[str, Any]) -> Any:
    where = f"{name} ({source})"
    if isinstance(default, bool):
        if isinstance(value, bool):
            return value
        text = str(value).strip().lower()
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        raise SettingError(f"{where} is {value!r}; allowed are true and false")
    if isinstance(default, (int, float)):
        kind = type(default)
        unit = f" {metadata['unit']}" if metadata["unit"] else ""
        minimum = metadata["minimum"]
        allowed = f"{'a whole number' if kind is int else 'a number'} of at least {minimum:g}{unit}"
        if isinstance(value, bool):
            raise SettingError(f"{where} is {value!r}; allowed is {allowed}")
        try:
            number = kind(value)
        except (TypeError, ValueError):
            raise SettingError(f"{where} is {value!r}; allowed is {allowed}") from None
        if not minimum <= number < float("inf") or (kind is int and number != float(value)):
            raise SettingError(f"{where} is {value!r}; allowed is {allowed}")
        return number
    choices = metadata["choices"]
    if choices:
        chosen = value.strip().lower() if isinstance(value, str) else value
        if chosen == "" and "off" in choices:
            chosen = "off"
        if chosen not in choices:
            raise SettingError(f"{where} is {value!r}; allowed are {', '.join(choices)}")
        return chosen
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        value = (" " if name == "redact_patterns" else ",").join(value)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str):
        raise SettingError(f"{where} is {value!r}; allowed is a text")
    if name in ("excluded_urls", "request_headers", "response_headers", "sanitized_headers", "redact_patterns"):
        for pattern in value.split(None if name == "redact_patterns" else ","):
            try:
                re.compile(pattern.strip())
            except re.error as error:
                raise SettingError(
                    f"{where} holds {pattern.strip()!r}, which is no regular expression: {error}; "
                    "allowed are Python regular expressions"
                ) from None
    if name in _PATH_EXAMPLES and value and not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+/?", value):
        raise SettingError(f"{where} is {value!r}; allowed is a path such as {_PATH_EXAMPLES[name]}, or nothing")
    if name in _URL_EXAMPLES and value and not re.fullmatch(r"[a-z]+://\S+", value):
        # Without a user and password.
        shown = value.rpartition("@")[2]
        raise SettingError(f"{where} is {shown!r}; allowed is a URL such as {_URL_EXAMPLES[name]}, or nothing")
    if name in ("log_file_name", "log_error_file_name") and not re.fullmatch(r"[^/\\\x00]*", value):
        raise SettingError(f"{where} is {value!r}; allowed is a file name such as app.log, without a folder")
    if name == "json_paths" and not all(part.strip().startswith("/") for part in value.split(",") if part.strip()):
        raise SettingError(f"{where} is {value!r}; allowed are prefixes of paths such as /api/, separated by commas")
    if name == "request_id_header" and value and not re.fullmatch(r"[A-Za-z0-9-]{1,64}", value):
        raise SettingError(f"{where} is {value!r}; allowed is a header name of letters, digits and hyphens")
    return value


def sources(
    keywords: Mapping[str, Any], config: Mapping[str, Any], environ: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The source, in words, of each setting that is set somewhere. The arguments are those of `load`."""
    return {name: source for name, (_, source) in _given(keywords, config, environ).items()}


def _given(
    keywords: Mapping[str, Any], config: Mapping[str, Any], environ: Mapping[str, str] | None
) -> dict[str, tuple[Any, str]]:
    """The value of each setting that is set, and its source, in words."""
    environ = os.environ if environ is None else environ
    given: dict[str, tuple[Any, str]] = {}
    for item in fields(Settings):
        name, env = item.name, item.metadata["env"]
        key = f"OTELFLASK_{name.upper()}"
        if keywords.get(name) is not None:
            given[name] = keywords[name], "keyword argument"
        elif config.get(key) is not None:
            given[name] = config[key], f'app.config["{key}"]'
        elif environ.get(env) or (env in environ and env.startswith("OTELFLASK_")):
            # An empty variable of ours is the value "none". An empty one of OpenTelemetry is unset, by its
            # specification ("Environment Variable Specification", "Parsing empty value").
            given[name] = environ[env], _OF_ENVIRONMENT + env
        elif name == "excluded_urls" and environ.get("OTEL_PYTHON_EXCLUDED_URLS"):
            given[name] = environ["OTEL_PYTHON_EXCLUDED_URLS"], "environment variable OTEL_PYTHON_EXCLUDED_URLS"
    known = known_names(config, environ)
    if "mail_server" in given:
        # Encryption and login belong to another server.
        known = {name: value for name, value in known.items() if name not in OF_MAIL_SERVER}
    return {**known, **given}


def load(
    keywords: Mapping[str, Any],
    config: Mapping[str, Any],
    environ: Mapping[str, str] | None = None,
    other_names: Collection[str] = (),
) -> Settings:
    """Read the effective settings.

    Args:
        keywords: Keyword arguments.
        config: The Flask app's config.
        environ: The environment (default: the process's).
        other_names: Names of options that are not settings. They are only used in the error message.

    Raises:
        SettingError: A name is unknown, or a value is not allowed.
    """
    declared = {item.name: item for item in fields(Settings)}
    for name in keywords:
        if name not in declared:
            raise _unknown(repr(name), name, [*declared, *other_names])
    for key in config:
        if key.startswith("OTELFLASK_") and key[len("OTELFLASK_") :].lower() not in declared:
            raise _unknown(f'app.config["{key}"]', key, [f"OTELFLASK_{name.upper()}" for name in declared])
    values: dict[str, Any] = {name: item.default for name, item in declared.items()}
    given = _given(keywords, config, environ)
    for name, (value, source) in given.items():
        item = declared[name]
        if source == _OF_ENVIRONMENT + item.metadata["env"] and item.metadata["env"].startswith("OTEL_"):
            values[name], _ = _of_opentelemetry(name, source, value, item.default, item.metadata)
        else:
            values[name] = _parse(name, source, value, item.default, item.metadata)
    settings = Settings(**values)
    if settings.profile_share > 1:
        raise SettingError(
            f"profile_share ({given['profile_share'][1]}) is {settings.profile_share!r}; "
            "allowed is a number from 0 to 1"
        )
    _check_mail(settings, given)
    return settings


def ignored(environ: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with variables of OpenTelemetry whose value is ignored."""
    for item in fields(Settings):
        variable = item.metadata["env"]
        value = environ.get(variable, "")
        is_text = isinstance(item.default, str) and not item.metadata["choices"]
        if variable.startswith("OTEL_") and value and not is_text:
            wrong = _of_opentelemetry(item.name, _OF_ENVIRONMENT + variable, value, item.default, item.metadata)[1]
            if wrong:
                yield wrong


def _of_opentelemetry(name: str, source: str, value: str, default: Any, metadata: Mapping[str, Any]) -> tuple[Any, str]:
    """Read a variable of OpenTelemetry. Wrong values are ignored, and only ``true`` is true.

    Source: Environment Variable Specification, "Boolean value", "Numeric value", "Enum value".

    Returns:
        The value, and what is wrong with the variable's; empty if nothing is.

    Raises:
        SettingError: A text is not allowed, such as a regular expression that decides what is masked.
    """
    if isinstance(default, bool):
        text = value.strip().lower()
        known = text in ("true", "false")
        return text == "true", "" if known else f"{name} ({source}) is {value!r}, which is false; allowed is true"
    try:
        return _parse(name, source, value, default, metadata), ""
    except SettingError as error:
        if isinstance(default, str) and not metadata["choices"]:
            raise
        return default, f"{error}; it is ignored, and {default!r} counts"


def _unknown(where: str, name: str, names: Collection[str]) -> SettingError:
    """An error that suggests the nearest of the known names."""
    nearest = difflib.get_close_matches(name, names, n=1)
    meant = f"did you mean {nearest[0]}?" if nearest else f"allowed are {', '.join(sorted(names))}"
    return SettingError(f"{where} is no setting of otelflask; {meant}")


def _check_mail(settings: Settings, given: Mapping[str, tuple[Any, str]]) -> None:
    """Raise SettingError where mail settings are malformed or incomplete."""
    if not settings.mail_to:
        return

    def named(name: str) -> str:
        return f"{name} ({given[name][1] if name in given else f'OTELFLASK_{name.upper()}'})"

    for name, value in (("mail_to", settings.mail_to), ("mail_from", settings.mail_from)):
        addresses = [address for _, address in getaddresses([value])]
        needed = "" if name == "mail_to" else ", and mail_to is set"
        if not addresses or not all(_ADDRESS.fullmatch(address) for address in addresses):
            raise SettingError(f"{named(name)} is {value!r}{needed}; allowed are mail addresses such as a@b.example")
    host, _, port = settings.mail_server.partition(":")
    if not host or (":" in settings.mail_server and not (port.isdecimal() and 0 < int(port) < 65_536)):
        raise SettingError(
            f"{named('mail_server')} is {settings.mail_server!r}; with mail_to set, allowed is `host` or `host:port`"
        )
    if bool(settings.mail_user) != bool(settings.mail_password):
        raise SettingError(
            f"{named('mail_user')} and {named('mail_password')} go together; allowed are both or neither"
        )
