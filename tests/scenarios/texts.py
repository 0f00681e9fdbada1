"""Pages, mails and lines as texts that are the same in each run."""

from __future__ import annotations

import json
import re
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any

from tests.scenarios.arrived import Item
from tests.scenarios.normalised import VOLATILE, Labels

_NUMBER = re.compile(r"(?<![\w.<:+/-])\d[\d,]*(\.\d+)?(?![\w>.])")
_RATE = re.compile(r"^[\d.,]+/(s|min|h)$")
_CLOCK = re.compile(r"\b\d\d:\d\d:\d\d(\.\d+)?\b")
_SHORT_ID = re.compile(r"[0-9a-f]{8}")
#: Views of the live page with an order that depends on durations.
_SORTED = ("live_overview", "live_queries")
#: Views with numbers that depend on time and process.
_OF_TIMES = ("live_overview", "live_runtime")
_SAMPLE = re.compile(r"^(?P<name>\w+(?:\{.*\})?) (?P<value>\S+)$")
#: Samples with fixed values.
_DETERMINISTIC = re.compile(
    r"^(?!otel_|process_|otelflask_process_|system_|cpython_)"
    r"(\w+_total|\w+_count|\w+_bytes_(bucket|sum)|http_server_active_requests|otelflask_\w*|target_info)(\{| |$)"
)
_OWN = re.compile(r"(# (HELP|TYPE|UNIT) )?otel_sdk_")
_HOST = re.compile(r'\b((?:host|os|process)_\w+|device)="[^"]*"')


class _Text(HTMLParser):
    """The texts of a page, one a line; a table's row is one line."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[list[str]] = []
        self._within = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.found.append([])
            self._within += 1

    def handle_endtag(self, tag: str) -> None:
        self._within -= tag == "tr"

    def handle_data(self, data: str) -> None:
        # The threads of requests come and go.
        if not data.strip() or "(process_request_thread)" in data:
            return
        if "Traceback (most recent" in data:
            self.found += [[line] for line in data.splitlines()]
            return
        text = " ".join(data.split())
        if self._within and self.found:
            self.found[-1].append(text)
        else:
            self.found.append([text])


def page(html: str, scenario: str, labels: Labels) -> list[str]:
    """The texts of a page of ours."""
    parser = _Text()
    parser.feed(html)
    lines: list[str] = []
    name = ""
    for row in parser.found:
        texts = []
        for text in row:
            texts.append(VOLATILE.get(name) or _shown(text, scenario, labels))
            name = text
        lines.append(" | ".join(texts))
    lines = labels.lines(lines)
    return sorted(lines) if scenario in _SORTED else lines


def _shown(text: str, scenario: str, labels: Labels) -> str:
    if _SHORT_ID.fullmatch(text):
        return labels.short(text)
    text = _RATE.sub("<rate>", _CLOCK.sub("<time>", text))
    return _NUMBER.sub("<number>", text) if scenario in _OF_TIMES else text


def samples(text: str, labels: Labels) -> list[str]:
    """The samples of a metrics page. Those of durations and of the machine have no values and exemplars."""
    found = []
    for line in text.splitlines():
        sample = _SAMPLE.match(line.partition(" # ")[0])
        if line.startswith("#") or sample is None:
            found.append(labels.text(line))
            continue
        is_same = _DETERMINISTIC.match(line) is not None
        name = _HOST.sub(r'\1="<of the machine>"', sample["name"])
        exemplar = " # <exemplar>" if is_same and " # " in line else ""
        found.append(labels.text(f"{name} {sample['value'] if is_same else '<value>'}") + exemplar)
    # A machine has one network device, or twenty.
    found = list(dict.fromkeys(found))
    # The pipeline's metrics are in the order in which its queues were first used.
    own = [line for line in found if _OWN.match(line)]
    return [*(line for line in found if not _OWN.match(line)), *sorted(own)]


def mail(message: EmailMessage, labels: Labels) -> Item:
    """The fixed part of a mail."""
    headers = {name: labels.text(str(message[name]).strip()) for name in ("From", "To", "Subject", "References")}
    return {**headers, "body": labels.lines(message.get_content().splitlines())}


def file_lines(text: str, labels: Labels, is_ordered: bool) -> list[Any]:
    """The lines of a log file, each a JSON object; sorted by message where several processes write."""
    lines = [labels.value(json.loads(line)) for line in text.splitlines()]
    return lines if is_ordered else sorted(lines, key=lambda line: str(line["message"]))
