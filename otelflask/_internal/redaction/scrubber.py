"""Mask secrets in values before they leave the process.

One scrubber serves everything that otelflask sends or shows. It masks a value because of its *name*
(by substring: ``X-Api-Key``, ``db_password``), or because of what it *looks like* (a JWT, a card
number, credentials in a URL, a ``password=…`` pair within a longer text).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from otelflask._internal.limits import MAX_DEPTH

MASK = "[redacted]"

#: Sensitive parts of names. They are searched in the lower-cased name without ``-``, ``_``, ``.`` and spaces.
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

#: Endings of names that contain a sensitive part but hold no secret.
HARMLESS_ENDINGS = ("tokens", "tokencount", "tokenizer", "tokentype", "tokenlimit")

#: Attributes that hold JSON whose values were masked before it was encoded. Masking the JSON text again could break it.
MASKED_BEFORE_ENCODING = frozenset(f"otelflask.error.{part}" for part in ("frames", "breadcrumbs", "tags", "extra"))

#: The maximum number of cached names, and the maximum length of one, in characters.
_MAX_CACHED_NAMES, _MAX_CACHED_NAME_LENGTH = 10_000, 128

_REMOVED_FROM_NAMES = str.maketrans("", "", "-_. ")
#: A part of a JWT; the minimum length, in characters, of its header after ``eyJ``, and of its payload.
_JWT_PART = re.compile(r"[A-Za-z0-9_-]*")
_JWT_MIN_LENGTH = 6
_SCHEME_CREDENTIAL = re.compile(r"(?i)\b(bearer|basic|digest|negotiate)(\s+)([A-Za-z0-9+/=._~-]{6,})")
_URL_CREDENTIAL = re.compile(r"(://)[^/?#\s@]*@")
_CARD = re.compile(r"(?<![\w.-])[3-6](?:[ -]?[0-9]){12,18}(?![\w-])")
#: Digits of a card number, and characters of an AWS key.
_LONGEST_CARD = 20
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S)
_VENDOR_TOKEN = re.compile(
    r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\b(?:ghp|gho|ghs|github_pat|glpat|xox[abp])[_-][A-Za-z0-9_-]{16,}"
)


#: Werkzeug logs the PIN of its debugger. Who has it can run any code.
_PIN = re.compile(r"(?i)(debugger pin: )\d[\d-]+")
_VENDOR_TOKEN_PREFIXES = ("AKIA", "ASIA", "ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xox")


#: Characters around names and values, never part of a name.
_PAIR_DELIMITERS = frozenset("\"'=:%>&;,")
_SECOND_WORD = re.compile(r" [\w.\-]+")
#: The maximum number of characters on each side of the space of a two-word name that are compared.
_MAX_COMPARED_LENGTH = 64
#: The separator between a name and its value.
_SEPARATOR = re.compile(r"(?i)[\"']?\s*(?:=>|=|:|%3d)\s*")
#: A value. One that is masked already stays as it is.
_VALUE = re.compile(
    rf"(?is){re.escape(MASK)}|"
    r"\"[^\"\\]*(?:\\.[^\"\\]*)*\"?|'[^'\\]*(?:\\.[^'\\]*)*'?|"
    r"(?:(?:bearer|basic|digest)\s+)?[^\s&;,\"'<>)\]}]+"
)


def _mask_jwts(text: str) -> str:
    """Mask JSON Web Tokens: two or three parts, joined by dots (RFC 7519, section 3)."""
    parts = []
    kept = 0
    at = text.find("eyJ")
    while at >= 0:
        head = _JWT_PART.match(text, at).end()  # type: ignore[union-attr]
        if head - at - 3 >= _JWT_MIN_LENGTH and text.startswith(".", head):
            end = _JWT_PART.match(text, head + 1).end()  # type: ignore[union-attr]
            if end - head - 1 >= _JWT_MIN_LENGTH:
                if text.startswith(".", end):
                    end = _JWT_PART.match(text, end + 1).end()  # type: ignore[union-attr]
                parts.append(text[kept:at] + MASK)
                kept = head = end
        # Skip the whole part: another ``eyJ`` inside it would give the same result.
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
    """Masks values: by their names, by what texts contain, and within nested values.

    Args:
        names: More sensitive parts of names.
        patterns: More regular expressions. What they match in texts of four characters or more is masked.

    Raises:
        re.error: A pattern is invalid.
    """

    def __init__(self, names: Iterable[str] = (), patterns: Iterable[str] = ()) -> None:
        self.names: tuple[str, ...] = SENSITIVE_NAMES
        self.patterns: tuple[re.Pattern[str], ...] = ()
        self.add(names, patterns)

    def add(self, names: Iterable[str], patterns: Iterable[str]) -> None:
        """Mask more from now on. The arguments and errors are the constructor's."""
        more = (_normalise(name) for name in names if name.strip())
        self.names += tuple(name for name in more if name not in self.names)
        known = {pattern.pattern for pattern in self.patterns}
        self.patterns += tuple(re.compile(pattern) for pattern in patterns if pattern not in known)
        self._sensitive: dict[str, bool] = {}
        #: Changes whenever the rules change.
        self.generation = object()
        # In running text a name is followed by "=" or ":", perhaps quoted. The expressions for pairs are matched at a
        # fixed position and cannot backtrack, so the time is linear in the text.
        symbols = {character for name in self.names for character in name if not character.isalnum()}
        special = "".join(
            sorted(symbol for symbol in symbols if symbol not in _PAIR_DELIMITERS and not symbol.isspace())
        )
        self._name = re.compile(rf"[\w.\-{re.escape(special)}]*")
        # The first three characters of each name. `str.find` searches them first: the expression runs only where one is
        # found.
        self._name_prefixes = tuple({name[:3] for name in self.names})

    def is_sensitive(self, name: str) -> bool:
        """Whether values of this name are masked."""
        known = self._sensitive.get(name)
        if known is None:
            plain = _normalise(name)
            known = any(part in plain for part in self.names) and not plain.endswith(HARMLESS_ENDINGS)
            # Bounded: names may come from an untrusted client.
            if len(name) <= _MAX_CACHED_NAME_LENGTH:
                if len(self._sensitive) >= _MAX_CACHED_NAMES:
                    self._sensitive = {}
                self._sensitive[name] = known
        return known

    def text(self, text: str, pairs: bool = True) -> str:
        """Mask everything in a text that looks like a secret.

        Args:
            text: The text.
            pairs: Whether to mask the values of ``name=value`` and ``name: value`` by their names. In
                source code the value is an expression, which is not masked.
        """
        if len(text) < 4 or (len(text) > _LONGEST_CARD and text.isalnum() and not self.patterns):
            # An id of letters and digits: what has no separator is too long for a key of AWS or a card.
            return text
        lowered = text.lower()
        if "eyJ" in text:
            text = _mask_jwts(text)
            lowered = text.lower()
        for prefix in self._name_prefixes if pairs else ():
            if prefix in lowered:
                text = self._mask_pairs(text, lowered)
                break
        if "bearer" in lowered or "basic" in lowered or "digest" in lowered or "negotiate" in lowered:
            text = _SCHEME_CREDENTIAL.sub(rf"\1\2{MASK}", text)
        if "@" in text and "://" in text:
            text = _URL_CREDENTIAL.sub(rf"\1{MASK}@", text)
        if "private key-" in lowered:
            text = _PEM.sub(MASK, text)
        if any(prefix in text for prefix in _VENDOR_TOKEN_PREFIXES):
            text = _VENDOR_TOKEN.sub(MASK, text)
        if "debugger pin" in lowered:
            text = _PIN.sub(rf"\1{MASK}", text)
        if _CARD.search(text):
            text = _CARD.sub(_mask_card, text)
        for pattern in self.patterns:
            text = pattern.sub(MASK, text)
        return text

    def _mask_pairs(self, text: str, lowered: str) -> str:
        """Mask values of ``name=value``, ``name: value`` and ``"name": "value"`` in a text, by their names."""
        if len(lowered) != len(text):
            # U+0130 is the one character that grows in lower case.
            lowered = text.replace("\u0130", "I").lower()
        starts = []
        for prefix in self._name_prefixes:
            at = lowered.find(prefix)
            while at >= 0:
                starts.append(at)
                at = lowered.find(prefix, at + 1)
        starts.sort()
        parts = []
        done = kept = 0
        for start in starts:
            if start < done:
                continue
            first = start
            while first > done and (text[first - 1].isalnum() or text[first - 1] in "_-."):
                first -= 1
            # The whole name is checked once, however many sensitive parts it contains.
            done = self._name.match(text, start).end()  # type: ignore[union-attr]
            separator = _SEPARATOR.match(text, done)
            if separator is None:
                separator = self._separator_after_two_words(text, first, done)
            elif not self.is_sensitive(text[first:done]):
                separator = None
            if separator is None:
                continue
            value = _VALUE.match(text, separator.end())
            if value is None:
                continue
            quote = value.group()[0] if value.group()[0] in "\"'" else ""
            parts.append(f"{text[kept : separator.end()]}{quote}{MASK}{quote}")
            done = kept = value.end()
        if not parts:
            return text
        return "".join(parts) + text[kept:]

    def _separator_after_two_words(self, text: str, first: int, end: int) -> re.Match[str] | None:
        """The separator after a name of two words, such as ``card number:``, if the name is sensitive; else None.

        `first` is where the first word begins.
        """
        second = _SECOND_WORD.match(text, end)
        separator = _SEPARATOR.match(text, second.end()) if second is not None else None
        if second is None or separator is None:
            return None
        # A sensitive name may span the space. Only the characters next to it are compared, to bound the work.
        before = _normalise(text[max(first, end - _MAX_COMPARED_LENGTH) : end])[-_MAX_COMPARED_LENGTH:]
        after = _normalise(second.group())[:_MAX_COMPARED_LENGTH]
        joined = before + after
        for name in self.names:
            at = joined.find(name, max(0, len(before) - len(name) + 1))
            if 0 <= at < len(before):
                return separator
        return None

    def value(self, name: str, value: Any, depth: int = 0) -> Any:
        """Mask a value by its name, and texts by what they contain. Mappings and sequences are followed.

        Numbers and booleans stay, also under a sensitive name. Bytes, sets and other objects stay. Below
        `MAX_DEPTH` levels a mapping or sequence becomes ``[too deep]``.
        """
        if self.is_sensitive(name) and not isinstance(value, (bool, int, float)) and value is not None:
            return MASK
        if isinstance(value, str):
            return value if name in MASKED_BEFORE_ENCODING else self.text(value)
        if depth >= MAX_DEPTH and isinstance(value, (Mapping, list, tuple)):
            return "[too deep]"
        if isinstance(value, Mapping):
            return {str(key): self.value(str(key), item, depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(name, item, depth + 1) for item in value]
        return value


def _normalise(name: str) -> str:
    return name.lower().translate(_REMOVED_FROM_NAMES)
