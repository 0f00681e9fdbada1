"""The tokens of a statement, by the rules of its database.

Sources: PostgreSQL, "Lexical Structure"; MySQL and MariaDB, "String Literals" and "Comments"; SQLite, "Double-quoted
String Literals Are Accepted"; SQL Server, "Slash Star (Block Comment)"; Oracle, "Text Literals".
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from enum import IntFlag
from typing import Any, Literal

from otelflask._internal.compat.sqlalchemy import escapes_by_backslash, quotes_names_by_double_quotes


class Rules(IntFlag):
    """What differs between databases."""

    STANDARD = 0
    #: A backslash in ``'…'`` escapes the next character. In ``E'…'`` it always does.
    BACKSLASH = 1
    #: ``"…"`` is a string.
    DOUBLE_QUOTED = 2
    #: ``"…"`` is a string where no column has that name.
    PERHAPS_DOUBLE_QUOTED = 4
    #: ``#`` begins a comment. After ``--`` there must be a space.
    HASH = 8
    #: ``/* /* */ */`` is one comment.
    NESTED = 16
    #: ``q'[…]'`` is a string.
    Q = 32


#: By SQLAlchemy's dialect name. Whether a backslash escapes may be a setting of the server, which its dialect knows.
_RULES = {
    "bigquery": Rules.BACKSLASH | Rules.DOUBLE_QUOTED | Rules.HASH,
    "clickhouse": Rules.BACKSLASH,
    "clickhousedb": Rules.BACKSLASH,
    "databricks": Rules.BACKSLASH | Rules.DOUBLE_QUOTED,
    "hive": Rules.BACKSLASH | Rules.DOUBLE_QUOTED,
    "mariadb": Rules.HASH,
    "mssql": Rules.NESTED,
    "mysql": Rules.HASH,
    "oracle": Rules.Q,
    "postgresql": Rules.NESTED,
    "snowflake": Rules.BACKSLASH,
    "sqlite": Rules.PERHAPS_DOUBLE_QUOTED,
}
Kind = Literal["literal", "quoted", "parameter", "word", "space", "other"]
#: For ``PERHAPS_DOUBLE_QUOTED``: what is before a name, what begins a list of names, what ends it, and what is before a
#: string even there.
_BEFORE_NAME = frozenset({".", "AS", "ON", "SET"})
_NAMES = frozenset({"BY", "FROM", "INDEX", "INTO", "JOIN", "TABLE", "UPDATE"})
_NO_NAMES = frozenset({"CHECK", "HAVING", "ON", "SELECT", "SET", "VALUES", "WHERE"})
_BEFORE_STRING = frozenset({"DEFAULT", "="})
_ASSIGNED = re.compile(r"\s*=")
_COMMENT_MARK = re.compile(r"/\*|\*/")


def rules_of(dialect: Any) -> Rules:
    """The rules of an engine's dialect, which has connected once."""
    rules = _RULES.get(dialect.name, Rules.STANDARD)
    if escapes_by_backslash(dialect):
        rules |= Rules.BACKSLASH
    if dialect.name in ("mysql", "mariadb") and not quotes_names_by_double_quotes(dialect):
        rules |= Rules.DOUBLE_QUOTED
    return rules


def tokens(statement: str, rules: Rules) -> Iterator[tuple[Kind, str]]:
    """The tokens of a statement, without its comments.

    Args:
        statement: The statement. What is open at its end ends there.
        rules: The rules of its database.

    Yields:
        The kind of a token, and its text.
    """
    pattern = _pattern(rules)
    names = _Names()
    at, length = 0, len(statement)
    while at < length:
        match = pattern.match(statement, at)
        # The last alternative takes any character.
        assert match is not None
        kind: Any = "literal" if match.lastgroup in ("dollar", "number") else match.lastgroup
        token, at = match.group(), match.end()
        if kind == "comment":
            if rules & Rules.NESTED and token == "/*":
                at = _end_of_comment(statement, at)
            continue
        if kind == "double":
            is_name = not rules & Rules.PERHAPS_DOUBLE_QUOTED or names.is_name(statement, at)
            kind = "quoted" if is_name else "literal"
        names.after(kind, token)
        yield kind, token


def _end_of_comment(statement: str, at: int) -> int:
    depth = 1
    for mark in _COMMENT_MARK.finditer(statement, at):
        depth += 1 if mark.group() == "/*" else -1
        if not depth:
            return mark.end()
    return len(statement)


def _string(quote: str, escapes: bool) -> str:
    """A string. A quote in it is written twice, or after a backslash where that escapes."""
    characters = rf"[^{quote}\\]|{quote}{quote}|\\(?:.|\Z)" if escapes else f"[^{quote}]|{quote}{quote}"
    return rf"{quote}(?:{characters})*(?:{quote}|\Z)"


@functools.cache
def _pattern(rules: Rules) -> re.Pattern[str]:
    block = r"/\*" if rules & Rules.NESTED else r"/\*.*?(?:\*/|\Z)"
    line = r"--(?=\s|\Z)[^\n]*|\#[^\n]*" if rules & Rules.HASH else r"--[^\n]*"
    escapes = bool(rules & Rules.BACKSLASH)
    escaped, double = _string("'", escapes=True), _string('"', escapes=False)
    strings = [f"[Ee]{escaped}", "[NnBbXx]?" + _string("'", escapes)]
    if rules & Rules.DOUBLE_QUOTED:
        strings.append(_string('"', escapes))
    if rules & Rules.Q:
        pairs = [rf"{re.escape(first)}.*?(?:{re.escape(last)}'|\Z)" for first, last in ("[]", "{}", "()", "<>")]
        strings.insert(0, rf"[Nn]?[Qq]'(?:{'|'.join(pairs)}|(?P<q>\S).*?(?:(?P=q)'|\Z))")
    return re.compile(
        rf"""
        (?P<comment>{line}|{block})
        |(?P<dollar>\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z))
        |(?P<literal>{"|".join(strings)})
        |(?P<double>{double})
        |(?P<quoted>`[^`]*(?:`|\Z)|\[[A-Za-z_][\w $]*\])
        |(?P<parameter>%\([^()]*\)s|%s|:[A-Za-z_]\w*|\$\d+|\?\d*)
        |(?P<number>(?<![\w.])[-+]?(?:
            0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:[eE][-+]?\d+)?
        )(?!\w))
        |(?P<word>[A-Za-z_][\w$]*)
        |(?P<space>\s+)
        |(?P<other>::|.)
        """,
        re.X | re.S,
    )


class _Names:
    """Tells whether ``"…"`` stands where only a name can stand. Elsewhere it may be a string."""

    def __init__(self) -> None:
        self._previous = ""
        #: The last word that begins a list of names or ends it.
        self._clause = ""

    def is_name(self, statement: str, end: int) -> bool:
        """Whether what ends there is a name."""
        if self._clause in _NAMES:
            return self._previous not in _BEFORE_STRING
        if self._clause == "SET" and self._previous == ",":
            return _ASSIGNED.match(statement, end) is not None
        return self._previous in _BEFORE_NAME or statement.startswith(".", end)

    def after(self, kind: Kind, token: str) -> None:
        """Note the next token."""
        if kind == "space":
            return
        self._previous = token.upper() if kind == "word" else token
        # CREATE INDEX … ON t (a, b).
        if self._previous in _NAMES or (
            self._previous in _NO_NAMES and (self._previous, self._clause) != ("ON", "INDEX")
        ):
            self._clause = self._previous
