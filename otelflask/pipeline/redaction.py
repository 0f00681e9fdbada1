"""Removes secrets from values before they leave the process.

One recursive scrubber for spans, logs and metrics: a value is masked because
of the *name* it goes by (by substring: ``X-Api-Key``, ``db_password``), or
because of what it *looks like* (a JWT, a card number, credentials in a URL, a
``password=…`` pair inside a longer text).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

MASK = "[redacted]"

#: Names whose values are masked, matched as substrings of the lower-cased name
#: with ``-``, ``_``, ``.`` and spaces left out.
SENSITIVE_NAMES = (
    "authorization",
    "cookie",
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "cardnumber",
    "creditcard",
    "signature",
)

#: Names that contain a sensitive word and yet hold no secret.
HARMLESS_NAMES = ("tokens", "tokencount", "tokenizer", "tokentype", "tokenlimit")

#: Attributes that are JSON of what was masked when it was put together; masked once more, it would be JSON no more.
MASKED_WHEN_MADE = frozenset(f"otelflask.error.{part}" for part in ("frames", "breadcrumbs", "tags", "extra"))

#: How deep nested containers are followed; below, the value is replaced.
MAX_DEPTH = 8

_SEPARATORS = str.maketrans("", "", "-_. ")
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]{6,}\.?[A-Za-z0-9_-]*")
_SCHEME_CREDENTIAL = re.compile(r"(?i)\b(bearer|basic|digest|negotiate)(\s+)([A-Za-z0-9+/=._~-]{6,})")
_URL_CREDENTIAL = re.compile(r"(://)[^/?#\s@]*@")
_CARD = re.compile(r"(?<![\w.-])[3-6](?:[ -]?[0-9]){12,18}(?![\w-])")
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S)
_CLOUD_KEY = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\b(?:ghp|gho|ghs|github_pat|glpat|xox[abp])[_-][A-Za-z0-9_-]{16,}"
)


#: Opens Werkzeug's debugger, which runs code; it says so in a line.
_PIN = re.compile(r"(?i)(debugger pin: )\d[\d-]+")
_CLOUD_PREFIXES = ("AKIA", "ASIA", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xox")


def _luhn(digits: str) -> bool:
    total = 0
    for position, character in enumerate(reversed(digits)):
        digit = ord(character) - 48
        if position % 2:
            digit *= 2
            if digit > 9:
                digit -= 9
        total += digit
    return total % 10 == 0


def _mask_card(match: re.Match[str]) -> str:
    digits = match.group().replace(" ", "").replace("-", "")
    return MASK if _luhn(digits) else match.group()


class Scrubber:
    """Masks secrets in names, texts and nested values.

    In: additional sensitive name parts, and additional regular expressions
    whose matches in values are masked. An invalid expression raises
    ``re.error`` at construction.
    """

    def __init__(self, names: Iterable[str] = (), patterns: Iterable[str] = ()) -> None:
        self.names = SENSITIVE_NAMES + tuple(_normalise(name) for name in names if name.strip())
        self.patterns = tuple(re.compile(pattern) for pattern in patterns)
        self._sensitive: dict[str, bool] = {}
        # In running text a name stands before "=" or ":", perhaps quoted; spelling separators are optional.
        spelled = "|".join(r"[-_. ]?".join(re.escape(c) for c in name) for name in self.names)
        self._pair = re.compile(
            rf"(?i)((?:{spelled})[\w.-]*[\"']?(?:\s*(?:=>|=|:|%3d)\s*))"
            # What is masked already stays as it is.
            rf"({re.escape(MASK)}|"
            r"\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|(?:(?:bearer|basic|digest)\s+)?[^\s&;,\"'<>)\]}]+)"
        )
        # Looked for first, at the speed of str.find: the expression runs only where one stands.
        self._stems = tuple({name[:3] for name in self.names})

    def is_sensitive(self, name: str) -> bool:
        """Whether values that go by this name are masked."""
        known = self._sensitive.get(name)
        if known is None:
            plain = _normalise(name)
            known = any(part in plain for part in self.names) and not any(
                plain.endswith(harmless) for harmless in HARMLESS_NAMES
            )
            if len(self._sensitive) < 10_000:
                self._sensitive[name] = known
        return known

    def text(self, text: str, pairs: bool = True) -> str:
        """The text with everything masked that looks like a secret.

        In: whether what follows ``name=`` and ``name:`` is one where the name
        says so; in source code it is an expression.
        """
        if len(text) < 4:
            return text
        lowered = text.lower()
        if "eyj" in lowered:
            text = _JWT.sub(MASK, text)
        for stem in self._stems if pairs else ():
            if stem in lowered:
                text = self._mask_pairs(text, lowered)
                break
        if "bearer" in lowered or "basic" in lowered or "digest" in lowered or "negotiate" in lowered:
            text = _SCHEME_CREDENTIAL.sub(rf"\1\2{MASK}", text)
        if "@" in text and "://" in text:
            text = _URL_CREDENTIAL.sub(rf"\1{MASK}@", text)
        if "private key-" in lowered:
            text = _PEM.sub(MASK, text)
        if any(prefix in text for prefix in _CLOUD_PREFIXES):
            text = _CLOUD_KEY.sub(MASK, text)
        if "debugger pin" in lowered:
            text = _PIN.sub(rf"\1{MASK}", text)
        if _CARD.search(text):
            text = _CARD.sub(_mask_card, text)
        for pattern in self.patterns:
            text = pattern.sub(MASK, text)
        return text

    def _mask_pairs(self, text: str, lowered: str) -> str:
        """Mask the values of ``name=value``, ``name: value`` and ``"name": "value"`` in a text."""
        if len(lowered) != len(text):
            # A letter whose lower case is longer: positions do not fit, so look everywhere.
            starts = list(range(len(text)))
        else:
            starts = []
            for stem in self._stems:
                at = lowered.find(stem)
                while at >= 0:
                    starts.append(at)
                    at = lowered.find(stem, at + 1)
            starts.sort()
        parts = []
        done = 0
        for start in starts:
            if start < done:
                continue
            match = self._pair.match(text, start)
            if match is None:
                continue
            first = start
            while first > done and (text[first - 1].isalnum() or text[first - 1] in "_-."):
                first -= 1
            name = re.split(r"[\"'=:\s%]", text[first : match.end(1)], maxsplit=1)[0]
            if not self.is_sensitive(name):
                continue
            value = match.group(2)
            quote = value[0] if value[0] in "\"'" else ""
            parts.append(f"{text[done : match.end(1)]}{quote}{MASK}{quote}")
            done = match.end()
        if not parts:
            return text
        return "".join(parts) + text[done:]

    def value(self, name: str, value: Any, depth: int = 0) -> Any:
        """The value under this name, scrubbed; mappings and sequences are followed."""
        if self.is_sensitive(name) and not isinstance(value, (bool, int, float)) and value is not None:
            return MASK
        if isinstance(value, str):
            return value if name in MASKED_WHEN_MADE else self.text(value)
        if depth >= MAX_DEPTH and isinstance(value, (Mapping, list, tuple)):
            return "[too deep]"
        if isinstance(value, Mapping):
            return {str(key): self.value(str(key), item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(name, item, depth + 1) for item in value]
        return value


def _normalise(name: str) -> str:
    return name.lower().translate(_SEPARATORS)
