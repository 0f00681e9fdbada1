"""Settings of an app that nothing reads because another one is empty: a log line at start says so."""

from __future__ import annotations

from collections.abc import Mapping

from otelflask._internal import guard
from otelflask._internal.instrumentation import libraries
from otelflask._internal.settings import Settings
from otelflask._internal.settings.libraries import chosen

#: Settings → the setting without which they have no effect.
_NEEDS = {
    ("health_token", "health_drain"): "health_path",
    ("metrics_token", "metrics_flask_names"): "metrics_path",
    ("profile_token", "profile_share", "profile_slow", "profile_count", "profile_dir"): "profile_path",
    ("log_file_name", "log_error_file_name", "log_file_format", "log_file_size", "log_file_count"): "log_dir",
    ("mail_from", "mail_server", "mail_user", "mail_subject_prefix", "mail_in_debug"): "mail_to",
}
#: How sources begin that are otelflask's own names. The names of other packages may be there for these packages.
_OWN_SOURCES = ("keyword argument", 'app.config["OTELFLASK_', "environment variable OTELFLASK_")


def tell(settings: Settings, sources: Mapping[str, str]) -> None:
    """Log which of the app's settings have no effect.

    Args:
        settings: The app's settings.
        sources: The source, in words, of each setting that is set.
    """
    for names, needed in _NEEDS.items():
        if getattr(settings, needed):
            continue
        for name in names:
            if sources.get(name, "").startswith(_OWN_SOURCES) and getattr(settings, name):
                guard.log(f"unused:{name}", "%s (%s) has no effect, because %s is empty", name, sources[name], needed)
    # `all` means those that are installed.
    for name in chosen(settings.libraries) if settings.libraries.strip().lower() != "all" else ():
        if not libraries.is_installed(name):
            message = "libraries (%s) names %s, which needs this library and pip install 'otelflask[%s]'"
            guard.log(f"unused:{name}", message, sources.get("libraries", "default"), name, name)
