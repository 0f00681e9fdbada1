"""Settings under the names that other packages have given them: Flask-Mail, redis, Sentry, and many tutorials.

They count where a setting of otelflask is not given. Nothing here raises: an app may use such a
name for something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import formataddr
from importlib.util import find_spec
from typing import Any

#: A setting's value, and its source in words.
Given = dict[str, tuple[Any, str]]

#: Settings that mean nothing for another mail server.
OF_MAIL_SERVER = frozenset({"mail_server", "mail_security", "mail_user", "mail_password", "mail_from"})
_FALSE = ("", "0", "false", "no", "off", "none")
_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")


def known_names(config: Mapping[str, Any], environ: Mapping[str, str]) -> Given:
    """The settings that have a value under another package's name.

    Args:
        config: The Flask app's config.
        environ: The environment.
    """
    return {**_mail(config), **_redis(config, environ), **_profiling(config), **_sentry(config)}


def _mail(config: Mapping[str, Any]) -> Given:
    """Flask-Mail's names, and ``MAIL_ADMINS`` or ``ADMINS``. Without a server there is no mail."""
    server = config.get("MAIL_SERVER")
    if not isinstance(server, str) or not server:
        return {}
    found: Given = {"mail_server": (f"{server}:{config.get('MAIL_PORT') or 25}", _named("MAIL_SERVER", "MAIL_PORT"))}
    if config.get("MAIL_ADMINS"):
        # The name says what it is for: a value that is no address is an error.
        found["mail_to"] = _joined(config["MAIL_ADMINS"]), _named("MAIL_ADMINS")
    elif _addresses(config.get("ADMINS")):
        found["mail_to"] = _joined(config["ADMINS"]), _named("ADMINS")
    if _is_true(config.get("MAIL_USE_SSL")):
        found["mail_security"] = "tls", _named("MAIL_USE_SSL")
    elif _is_true(config.get("MAIL_USE_TLS")):
        found["mail_security"] = "starttls", _named("MAIL_USE_TLS")
    else:
        found["mail_security"] = "none", _named("MAIL_USE_TLS")
    user, password = config.get("MAIL_USERNAME"), config.get("MAIL_PASSWORD")
    if user and password:
        found["mail_user"] = str(user), _named("MAIL_USERNAME")
        found["mail_password"] = str(password), _named("MAIL_PASSWORD")
    found["mail_from"] = _sender(config, server)
    return found


def _sender(config: Mapping[str, Any], server: str) -> tuple[str, str]:
    sender = config.get("MAIL_DEFAULT_SENDER")
    if isinstance(sender, tuple) and len(sender) == 2:
        # Flask-Mail takes a name and an address.
        return f"{sender[0]} <{sender[1]}>", _named("MAIL_DEFAULT_SENDER")
    for name in ("MAIL_DEFAULT_SENDER", "MAIL_USERNAME"):
        if _addresses(config.get(name)):
            return str(config[name]), _named(name)
    return f"no-reply@{server}", _named("MAIL_SERVER")


def _joined(value: Any) -> str:
    """A text, or a list of addresses or of pairs of a name and an address, as one text."""
    if isinstance(value, str):
        return value
    items = value if isinstance(value, (list, tuple, set)) else [value]
    return ", ".join(formataddr(item) if isinstance(item, tuple) and len(item) == 2 else str(item) for item in items)


def _addresses(value: Any) -> list[str]:
    """The mail addresses of a text or a list; empty where one is none."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)):
        return []
    texts = [item.strip() for item in items if isinstance(item, str) and "@" in item]
    return texts if len(texts) == len(items) else []


def _redis(config: Mapping[str, Any], environ: Mapping[str, str]) -> Given:
    for values, source in ((config, _named("REDIS_URL")), (environ, "environment variable REDIS_URL")):
        url = values.get("REDIS_URL")
        if isinstance(url, str) and url.startswith(_REDIS_SCHEMES) and find_spec("redis") is not None:
            return {"health_redis": (url, source)}
    return {}


def _profiling(config: Mapping[str, Any]) -> Given:
    if not _is_true(config.get("PROFILING_ENABLED")):
        return {}
    source = _named("PROFILING_ENABLED")
    return {"profile_share": (1.0, source), "profile_slow": (0.0, source)}


def _sentry(config: Mapping[str, Any]) -> Given:
    """The name of Sentry's extensions of old. The environment's variable goes first, as for sentry-sdk."""
    dsn = config.get("SENTRY_DSN")
    return {"sentry_dsn": (dsn, _named("SENTRY_DSN"))} if isinstance(dsn, str) and dsn else {}


def _is_true(value: Any) -> bool:
    return value.strip().lower() not in _FALSE if isinstance(value, str) else bool(value)


def _named(*names: str) -> str:
    return " and ".join(f'app.config["{name}"]' for name in names)
