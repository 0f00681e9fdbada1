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

from otelflask._internal.limits import MAX_DEPTH

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

#: Names whose judgement is kept for the next time, and their longest, in characters.
_KEPT_NAMES, _KEPT_NAME = 10_000, 128

_SEPARATORS = str.maketrans("", "", "-_. ")
#: A part of a JWT, and how many characters its first two have at least, the first beyond ``eyJ``.
_JWT_PART = re.compile(r"[A-Za-z0-9_-]*")
_JWT_LENGTH = 6
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


#: Of no name: they stand around names and values.
_OF_PAIRS = frozenset("\"'=:%>&;,")
_SECOND_WORD = re.compile(r" [\w.\-]+")
_LONGEST_NAME = 64
#: What stands between a name and its value.
_SIGN = re.compile(r"(?i)[\"']?\s*(?:=>|=|:|%3d)\s*")
#: A value. What is masked already stays as it is.
_VALUE = re.compile(
    rf"(?is){re.escape(MASK)}|"
    r"\"[^\"\\]*(?:\\.[^\"\\]*)*\"?|'[^'\\]*(?:\\.[^'\\]*)*'?|"
    r"(?:(?:bearer|basic|digest)\s+)?[^\s&;,\"'<>)\]}]+"
)


def _mask_jwts(text: str) -> str:
    """The text without JSON Web Tokens: two parts, or three, joined by dots (RFC 7519, section 3)."""
    parts = []
    kept = 0
    at = text.find("eyJ")
    while at >= 0:
        head = _JWT_PART.match(text, at).end()  # type: ignore[union-attr]
        if head - at - 3 >= _JWT_LENGTH and text.startswith(".", head):
            end = _JWT_PART.match(text, head + 1).end()  # type: ignore[union-attr]
            if end - head - 1 >= _JWT_LENGTH:
                if text.startswith(".", end):
                    end = _JWT_PART.match(text, end + 1).end()  # type: ignore[union-attr]
                parts.append(text[kept:at] + MASK)
                kept = head = end
        # Another beginning in the same part would come to the same end.
        at = text.find("eyJ", head)
    return "".join(parts) + text[kept:]


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
        self.names: tuple[str, ...] = SENSITIVE_NAMES
        self.patterns: tuple[re.Pattern[str], ...] = ()
        self.add(names, patterns)

    def add(self, names: Iterable[str], patterns: Iterable[str]) -> None:
        """Mask these too, from now on. In, and raised: as when it is made."""
        more = (_normalise(name) for name in names if name.strip())
        self.names += tuple(name for name in more if name not in self.names)
        known = {pattern.pattern for pattern in self.patterns}
        self.patterns += tuple(re.compile(pattern) for pattern in patterns if pattern not in known)
        self._sensitive: dict[str, bool] = {}
        #: Differs when something else is masked than before.
        self.generation = object()
        # In running text a name stands before "=" or ":", perhaps quoted. Each of these is matched where it has to
        # begin, and none can fail after a long way: the work is linear, whatever a stranger sends.
        letters = {character for name in self.names for character in name if not character.isalnum()}
        odd = "".join(sorted(letter for letter in letters if letter not in _OF_PAIRS and not letter.isspace()))
        self._name = re.compile(rf"[\w.\-{re.escape(odd)}]*")
        # Looked for first, at the speed of str.find: the expression runs only where one stands.
        self._stems = tuple({name[:3] for name in self.names})

    def is_sensitive(self, name: str) -> bool:
        """Whether values that go by this name are masked."""
        known = self._sensitive.get(name)
        if known is None:
            plain = _normalise(name)
            known = any(part in plain for part in self.names) and not plain.endswith(HARMLESS_NAMES)
            # A stranger's names are not kept for ever, and no long ones at all.
            if len(name) <= _KEPT_NAME:
                if len(self._sensitive) >= _KEPT_NAMES:
                    self._sensitive = {}
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
        if "eyJ" in text:
            text = _mask_jwts(text)
            lowered = text.lower()
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
            # The one letter whose lower case is longer.
            lowered = text.replace("\u0130", "I").lower()
        starts = []
        for stem in self._stems:
            at = lowered.find(stem)
            while at >= 0:
                starts.append(at)
                at = lowered.find(stem, at + 1)
        starts.sort()
        parts = []
        done = kept = 0
        for start in starts:
            if start < done:
                continue
            first = start
            while first > done and (text[first - 1].isalnum() or text[first - 1] in "_-."):
                first -= 1
            # The whole name, which is looked at once, however often a stem stands in it.
            done = self._name.match(text, start).end()  # type: ignore[union-attr]
            sign = _SIGN.match(text, done)
            if sign is None:
                sign = self._sign_after_two_words(text, first, done)
            elif not self.is_sensitive(text[first:done]):
                sign = None
            if sign is None:
                continue
            value = _VALUE.match(text, sign.end())
            if value is None:
                continue
            quote = value.group()[0] if value.group()[0] in "\"'" else ""
            parts.append(f"{text[kept : sign.end()]}{quote}{MASK}{quote}")
            done = kept = value.end()
        if not parts:
            return text
        return "".join(parts) + text[kept:]

    def _sign_after_two_words(self, text: str, first: int, end: int) -> re.Match[str] | None:
        """What follows a name of two words, such as ``card number:``. In: where the first word stands."""
        second = _SECOND_WORD.match(text, end)
        sign = _SIGN.match(text, second.end()) if second is not None else None
        if second is None or sign is None:
            return None
        # A name that is known reaches over the space; it is no longer than the longest.
        before = _normalise(text[max(first, end - _LONGEST_NAME) : end])[-_LONGEST_NAME:]
        after = _normalise(second.group())[:_LONGEST_NAME]
        joined = before + after
        for name in self.names:
            at = joined.find(name, max(0, len(before) - len(name) + 1))
            if 0 <= at < len(before):
                return sign
        return None

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
