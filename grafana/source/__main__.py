"""Write grafana/dashboards/*.json and the alert rules.

With ``--check``, only print which files would change, and exit with 1 if any would.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from grafana.source import (
    alerting,
    database,
    dependencies,
    errors,
    group,
    jobs,
    logs,
    pipeline,
    questions,
    route,
    runbooks,
    runtime,
    service,
    slo,
)

GRAFANA = Path(__file__).parent.parent


def files() -> dict[Path, str]:
    """The text of each file, by path."""
    built = {GRAFANA / "provisioning" / "alerting" / "rules.json": alerting.build()}
    dashboards = (
        service, route, errors, group, logs, database, jobs, runtime, dependencies, slo, pipeline, runbooks, questions,
    )  # fmt: skip
    for module in dashboards:
        dashboard = module.build()
        built[GRAFANA / "dashboards" / f"{dashboard['uid'].removeprefix('otelflask-')}.json"] = dashboard
    return {path: json.dumps(content, indent=2, ensure_ascii=False) + "\n" for path, content in built.items()}


def main(arguments: list[str]) -> int:
    """Write or check all files. Returns the exit status."""
    changed = []
    for path, text in files().items():
        if not path.exists() or path.read_text() != text:
            changed.append(path.name)
            if "--check" not in arguments:
                path.write_text(text)
    for name in changed:
        print(name)
    return 1 if changed and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
