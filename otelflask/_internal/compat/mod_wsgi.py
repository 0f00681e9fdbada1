"""mod_wsgi: Apache kills its processes a short time after their signal."""

from __future__ import annotations

import sys

#: Seconds from SIGTERM to SIGKILL when Apache stops. Source: Apache Portable Runtime, ``memory/unix/apr_pools.c``
#: (``TIMEOUT_USECS``). After a restart a daemon process has 5 s (``shutdown-timeout``).
_KILLED_AFTER_S = 3.0
#: Seconds of these that the rest of the end needs: requests, and the interpreter itself.
_MARGIN_S = 1.0


def is_running() -> bool:
    """Whether this process is one of Apache. The package from PyPI has a module of the same name, without groups."""
    return hasattr(sys.modules.get("mod_wsgi"), "process_group")


def seconds_at_end() -> float:
    """The seconds that a process has at its end."""
    return _KILLED_AFTER_S - _MARGIN_S if is_running() else float("inf")
