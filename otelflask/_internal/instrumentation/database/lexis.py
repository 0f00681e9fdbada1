"""The tokens of a statement, by the rules of its database.

Sources: PostgreSQL, "Lexical Structure"; MySQL and MariaDB, "String Literals" and "Comments"; SQL Server, "Slash Star
(Block Comment)", "Database Identifiers" and "Constants"; Oracle, "Text Literals".
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from enum import IntFlag
from typing import Any, Literal

from otelflask._internal.compat.sqlalchemy import escapes_by_backslash, quotes_names_by_double_quotes
from otelflask._internal.instrumentation.database.name_places import NamePlaces


class Rules(IntFlag):
    """What differs between databases."""

    STANDARD = 0
    #: A backslash in ``'…'`` escapes the next character. In ``E'…'`` it always does.
    BACKSLASH = 1
    #: ``"…"`` is a string.
    DOUBLE_QUOTED = 2
    #: ``"…"`` is a string where no column has that name.
    PERHAPS_DOUBLE_QUOTED = 4
    #: ``#`` begins a comment. After ``--`` there must be a space. A name may begin with a digit.
    HASH = 8
    #: ``/* /* */ */`` is one comment.
    NESTED = 16
    #: ``q'[…]'`` is a string.
    Q = 32
    #: ``[…]`` is a name, whatever is in it.
    BRACKETS = 64
    #: A name may be in backticks.
    BACKTICKS = 128
    #: ``$1.50`` is a number, and no parameter.
    MONEY = 256


#: By SQLAlchemy's dialect name. Whether a backslash escapes may be a setting of the server, which its dialect knows.
_RULES = {
    "bigquery": Rules.BACKSLASH | Rules.DOUBLE_QUOTED | Rules.HASH | Rules.BACKTICKS,
    "clickhouse": Rules.BACKSLASH | Rules.BACKTICKS,
    "clickhousedb": Rules.BACKSLASH | Rules.BACKTICKS,
    "databricks": Rules.BACKSLASH | Rules.DOUBLE_QUOTED | Rules.BACKTICKS,
    "hive": Rules.BACKSLASH | Rules.DOUBLE_QUOTED | Rules.BACKTICKS,
    "mariadb": Rules.HASH | Rules.BACKTICKS,
    "mssql": Rules.NESTED | Rules.BRACKETS | Rules.MONEY,
    "mysql": Rules.HASH | Rules.BACKTICKS,
    "oracle": Rules.Q,
    "postgresql": Rules.NESTED,
    "snowflake": Rules.BACKSLASH,
    "sqlite": Rules.PERHAPS_DOUBLE_QUOTED | Rules.BRACKETS | Rules.BACKTICKS,
}
_KINDS = {"dollar": "literal", "number": "literal"}
Kind = Literal["literal", "quoted", "parameter", "word", "space", "other"]
#: What ends a string or a name.
_CLOSING = {"'": "'", '"': '"', "`": "`", "[": "]"}
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
    places = NamePlaces()
    previous = before = ""
    at, length = 0, len(statement)
    # Whether an E'…' of PostgreSQL goes on with what follows ("String Constants").
    goes_on = False
    while at < length:
        match = pattern.match(statement, at)
        # The last alternative takes any character.
        assert match is not None
        kind: Any = _KINDS.get(match.lastgroup or "", match.lastgroup)
        begins, (start, at) = match.group(), match.span()
        if kind == "comment":
            if rules & Rules.NESTED and begins == "/*":
                at = _end_of_comment(statement, at)
            continue
        if kind in ("string", "quoted"):
            goes_on = begins in ("E'", "e'") or (goes_on and begins == "'")
            escapes = kind == "string" and (goes_on or bool(rules & Rules.BACKSLASH))
            end = _end_of_quoted(statement, at, begins[-1], escapes)
            at = length if end is None else end
            is_perhaps = bool(rules & Rules.PERHAPS_DOUBLE_QUOTED) and begins == '"'
            if kind == "string" or end is None or (is_perhaps and not places.is_name(statement, at)):
                kind = "literal"
        elif kind != "space":
            goes_on = False
        token = statement[start:at]
        if kind == "space":
            yield kind, token
            continue
        if (before, previous) == ("IDENTIFIED", "BY"):
            # A password, which need not be in quotes, and perhaps others behind it.
            yield "literal", statement[start:]
            return
        before, previous = previous, token.upper() if kind == "word" else token
        places.after(previous)
        yield kind, token


def _end_of_comment(statement: str, at: int) -> int:
    depth = 1
    for mark in _COMMENT_MARK.finditer(statement, at):
        depth += 1 if mark.group() == "/*" else -1
        if not depth:
            return mark.end()
    return len(statement)


def _end_of_quoted(statement: str, at: int, begins: str, escapes: bool) -> int | None:
    """The end of a string or name, None where it is open.

    Its last quote is written twice in it, or after a backslash where that escapes.
    """
    ends = _CLOSING.get(begins)
    if ends is None:
        return at
    # One expression for all of it would keep a state for each of these marks.
    return next((mark.end() for mark in _mark(ends, escapes).finditer(statement, at) if mark.group() == ends), None)


@functools.cache
def _mark(quote: str, escapes: bool) -> re.Pattern[str]:
    quote = re.escape(quote)
    return re.compile(rf"{quote}{quote}?" + (r"|\\." if escapes else ""), re.S)


@functools.cache
def _pattern(rules: Rules) -> re.Pattern[str]:
    block = r"/\*" if rules & Rules.NESTED else r"/\*.*?(?:\*/|\Z)"
    line = r"--(?=[\s\x00-\x1f]|\Z)[^\n]*|\#[^\n]*" if rules & Rules.HASH else r"--[^\n]*"
    if rules & Rules.NESTED:
        line = r"--[^\n\r]*"
    names = [] if rules & Rules.DOUBLE_QUOTED else ['"']
    # Elsewhere, an array's index. What is in it is read on its own, unless it is a word.
    names.append(r"\[" if rules & Rules.BRACKETS else r"\[[A-Za-z_][\w $]*\]")
    if rules & Rules.BACKTICKS:
        names.append("`")
    parameter = r"%\([^()]*\)s|%s|:[A-Za-z_]\w*|\?\d*" + ("" if rules & Rules.MONEY else r"|\$\d+")
    money = r"[-+]?\$\s*(?:\d+(?:,\d{3})*(?:\.\d*)?|\.\d+)" if rules & Rules.MONEY else r"(?!)"
    end = r"(?!\w)" if rules & Rules.HASH else ""
    strings = "[EeNnBbXx]?'" + ('|"' if rules & Rules.DOUBLE_QUOTED else "")
    return re.compile(
        rf"""
        (?P<comment>{line}|{block})
        |(?P<dollar>\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?(?:\$(?P=tag)\$|\Z)|{money})
        |(?P<literal>{_q_string() if rules & Rules.Q else "(?!)"})
        |(?P<string>{strings})
        |(?P<quoted>{"|".join(names)})
        |(?P<parameter>{parameter})
        |(?P<number>(?<![\w.])[-+]?(?:
            0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|(?:\d[\d_]*\.[\d_]*|\.\d[\d_]*)(?:[eE][-+]?\d+)?
            |\d[\d_]*(?:[eE][-+]?\d+)?{end}
        ))
        |(?P<word>[A-Za-z_][\w$]*)
        |(?P<space>\s+)
        |(?P<other>::|.)
        """,
        re.X | re.S,
    )


def _q_string() -> str:
    pairs = [rf"{re.escape(first)}.*?(?:{re.escape(last)}'|\Z)" for first, last in ("[]", "{}", "()", "<>")]
    return rf"[Nn]?[Qq]'(?:{'|'.join(pairs)}|(?P<q>\S).*?(?:(?P=q)'|\Z))"
