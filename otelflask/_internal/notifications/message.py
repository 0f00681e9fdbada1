"""The content of a mail about a group of errors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from urllib.parse import urlencode

from otelflask._internal import attribute_names, clock
from otelflask._internal.error_reports.report import Report
from otelflask._internal.limits import Limits, clean_text
from otelflask._internal.notifications.throttle import Claim
from otelflask._internal.redaction import Scrubber, scrubbed_attributes
from otelflask._internal.settings import Settings

MAX_SUBJECT = 150
MAX_BREADCRUMBS = 10
_NO_ATOM = re.compile(r"[^A-Za-z0-9]+")
#: The uid of the dashboard of one group.
GROUP_DASHBOARD = "otelflask-error-group"


def mail_of(
    report: Report,
    claim: Claim,
    settings: Settings,
    resource: Mapping[str, object],
    scrubber: Scrubber,
    limits: Limits,
) -> EmailMessage:
    """Write a mail, without secrets.

    Args:
        report: The group's last report.
        claim: The right to send this mail.
        settings: The settings.
        resource: The resource's attributes.
        scrubber: Masks secrets.
        limits: What a report may carry.
    """
    service = str(resource.get("service.name", ""))
    environment = str(resource.get("deployment.environment.name", "") or "")
    where = f"{service}/{environment}" if environment else service
    body = clean_text(scrubber.text(report.body))
    message = EmailMessage(policy=SMTP)
    message["From"] = settings.mail_from
    message["To"] = settings.mail_to
    # A header is one line, and a subject must be short.
    prefix = settings.mail_subject_prefix or f"[{where}]"
    # Of an error of SQLAlchemy, further lines are the statement and its parameters.
    message["Subject"] = " ".join(f"{prefix} {body.partition(chr(10))[0]}".split())[:MAX_SUBJECT]
    message["Date"] = format_datetime(clock.now())
    message["Message-ID"] = make_msgid(domain="otelflask.invalid")
    # The mails of one group form one thread.
    message["References"] = f"<{report.group.fingerprint}.{_NO_ATOM.sub('-', where)}@otelflask.invalid>"
    message["Auto-Submitted"] = "auto-generated"
    attributes = scrubbed_attributes(report.attributes, scrubber, limits)
    message.set_content(_text(report, claim, settings, resource, attributes, scrubber, body, environment))
    return message


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def _text(
    report: Report,
    claim: Claim,
    settings: Settings,
    resource: Mapping[str, object],
    attributes: Mapping[str, object],
    scrubber: Scrubber,
    body: str,
    environment: str,
) -> str:
    version = str(resource.get("service.version", "") or "")
    service = str(resource.get("service.name", ""))
    request = f"{attributes.get('http.request.method', '')} {attributes.get('http.route', '')}".strip()
    often = "once" if claim.occurrences == 1 else f"{claim.occurrences} times"
    if claim.since is not None:
        often += f" since the mail of {_time(claim.since)}"
    facts = {
        "Group": f"{clean_text(scrubber.text(report.group.title))} ({report.group.fingerprint})",
        "Service": " ".join(part for part in (service, version, f"({environment})" if environment else "") if part),
        "Request": request,
        "Time": _time(report.at / 1e9),
        "Occurred": often,
        "Trace": f"{report.span.trace_id:032x}" if report.span is not None else "",
        "User": str(attributes.get("user.id", "")),
        "Request id": str(attributes.get(attribute_names.REQUEST_ID, "")),
        "Grafana": _link(report, settings, service),
    }
    parts = [body, "\n".join(f"{name:<11}{value}" for name, value in facts.items() if value)]
    if attributes.get("exception.stacktrace"):
        parts.append(str(attributes["exception.stacktrace"]))
    lines = _breadcrumbs(attributes.get(attribute_names.ERROR_BREADCRUMBS))
    if lines:
        parts.append("Before the error:\n" + "\n".join(lines))
    held = "Further errors of this group are counted. The next mail has their number, in an hour at the earliest."
    if claim.left_today == 0:
        held = "This is the last mail of today (mail_per_day). Further errors are in the logs only."
    parts.append(held)
    return "\n\n".join(parts) + "\n"


def _breadcrumbs(value: object) -> list[str]:
    if not isinstance(value, str):
        return []
    try:
        found = json.loads(value)[-MAX_BREADCRUMBS:]
    except ValueError:
        return []
    return [f"  {item.get('timestamp', '')} {item.get('level', '')} {item.get('message', '')}" for item in found]


def _link(report: Report, settings: Settings, service: str) -> str:
    if not settings.grafana_url:
        return ""
    query = urlencode({"var-service": service, "var-group": report.group.fingerprint})
    return f"{settings.grafana_url.rstrip('/')}/d/{GROUP_DASHBOARD}?{query}"
