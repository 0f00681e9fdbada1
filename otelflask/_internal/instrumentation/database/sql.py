"""Read a statement: sanitised text, operation, table, summary.

Literals become ``?`` (semantic conventions, "Sanitization of db.query.text"). The summary has
operation and targets ("Generating a summary of the query").
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from otelflask._internal.instrumentation.database.lexis import Rules, tokens

#: The longest statement that is read, in characters. The rest is cut before any expression runs.
MAX_LENGTH = 8_192
_MAX_SUMMARY = 255

_IN_LIST = re.compile(
    r"(?i)\b(in\s*)\(\s*(?:\?|%s|%\([^()]*\)s|:\w+|\$\d+)(?:\s*,\s*(?:\?|%s|%\([^()]*\)s|:\w+|\$\d+))+\s*\)"
)
_VALUES_LIST = re.compile(r"(?i)(\bvalues\s*\([^()]*\))(?:\s*,\s*\([^()]*\))+")
_TARGET_AFTER = frozenset({"FROM", "JOIN", "INTO", "UPDATE", "TABLE"})
#: Operations whose target may be the next word.
_BEFORE_TARGET = frozenset({"CALL", "COPY", "DESCRIBE", "EXEC", "EXECUTE", "LOCK", "TRUNCATE", "UPDATE"})
_NOT_A_TARGET = frozenset(
    {
        "SELECT", "LATERAL", "ONLY", "IF", "EXISTS", "NOT", "SET", "OF", "UNNEST", "VALUES", "SKIP", "NOWAIT", "TABLE",
        "TABLES", "IMMEDIATE",
    }
)  # fmt: skip
_ENDS_LIST = frozenset(
    {"WHERE", "ON", "SET", "ORDER", "GROUP", "HAVING", "LIMIT", "UNION", "RETURNING", "USING", "SELECT"}
)
_OPERATIONS = frozenset(
    {
        "SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE", "CREATE", "ALTER", "DROP", "TRUNCATE", "CALL",
        "BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "SET", "SHOW", "EXPLAIN", "PRAGMA", "COPY",
        "LOCK", "GRANT", "REVOKE", "VACUUM", "ANALYZE", "EXEC", "EXECUTE", "DESCRIBE", "VALUES", "WITH", "LOAD",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Statement:
    """What a statement contains. `operation` and `collection` are None where they are not certain."""

    text: str
    operation: str | None
    collection: str | None
    summary: str


def read(statement: str, rules: Rules) -> Statement:
    """Read a statement, without its literals and comments.

    Args:
        statement: The statement.
        rules: The rules of its database.
    """
    parts: list[str] = []
    reader = _Reader()
    for kind, token in tokens(statement[:MAX_LENGTH], rules):
        if kind == "literal":
            parts.append("?")
            reader.symbol("?")
        elif kind == "space":
            parts.append(" ")
            reader.target_open = False
        else:
            parts.append(token)
            if kind == "word":
                reader.word(token, token.upper())
            elif kind == "quoted":
                reader.word(token.strip('"`[]'), "")
            else:
                reader.symbol(token)
    sanitised = "".join(parts).strip()
    sanitised = _IN_LIST.sub(r"\1(?)", sanitised)
    sanitised = _VALUES_LIST.sub(r"\1", sanitised)
    operation = reader.operation
    if operation == "WITH":
        operation = _operation_after_with(sanitised)
    unique = [target for target in dict.fromkeys(reader.targets) if target not in reader.common_tables]
    summary = " ".join([operation or "", *unique]).strip()
    return Statement(
        sanitised,
        operation or None,
        unique[0] if len(unique) == 1 else None,
        summary[:_MAX_SUMMARY],
    )


class _Reader:
    """Finds operation and targets in the words of a statement, in order."""

    def __init__(self) -> None:
        self.operation: str | None = None
        self.targets: list[str] = []
        self.common_tables: set[str] = set()
        #: Whether a dot and a word would still belong to the last target.
        self.target_open = False
        self._expecting = False
        self._previous = ""
        # One entry a level of parentheses: whether a clause with targets is open there.
        self._selects = [True]
        self._lists = [False]

    def word(self, name: str, upper: str) -> None:
        if self.operation is None:
            self.operation = upper if upper in _OPERATIONS else ""
            self._expecting = upper in _BEFORE_TARGET
        elif self._previous == "@":
            # EXEC @result = procedure.
            pass
        elif self.target_open and self._previous == ".":
            self.targets[-1] = f"{self.targets[-1]}.{name}"
        elif self._expecting and upper not in _NOT_A_TARGET:
            self.targets.append(name)
            self._expecting = False
            self.target_open = True
        else:
            self.target_open = False
            if upper in ("SELECT", "DELETE"):
                self._selects[-1] = True
                self._expecting = False
            if upper == "AS" and self.operation == "WITH":
                self.common_tables.add(self._previous)
            if upper in _ENDS_LIST:
                self._lists[-1] = False
            if self._is_target_word(upper):
                self._expecting = True
                self._lists[-1] = upper == "FROM"
        self._previous = name

    def _is_target_word(self, upper: str) -> bool:
        previous = self._previous.upper()
        if upper == "FROM":
            # Not EXTRACT(… FROM …), not IS DISTINCT FROM, not COPY … FROM a file.
            is_copied = self.operation == "COPY" and len(self._selects) == 1
            return self._selects[-1] and previous != "DISTINCT" and not is_copied
        if upper == "UPDATE":
            return previous not in ("FOR", "DO", "KEY", "ON")
        return upper in _TARGET_AFTER

    def symbol(self, token: str) -> None:
        if token == ".":
            self._previous = "."
            return
        self.target_open = False
        self._previous = token
        if token == "(":
            self._expecting = False
            self._selects.append(False)
            self._lists.append(False)
        elif token == ")" and len(self._selects) > 1:
            self._selects.pop()
            self._lists.pop()
        elif token == "," and self._lists[-1]:
            self._expecting = True


def _operation_after_with(text: str) -> str | None:
    """The operation of ``WITH … SELECT|INSERT|UPDATE|DELETE``: the first one outside of parentheses."""
    depth = 0
    for match in re.finditer(r"[()]|\b(?:SELECT|INSERT|UPDATE|DELETE|MERGE)\b", text, re.I):
        token = match.group()
        if token == "(":
            depth += 1
        elif token == ")":
            depth -= 1
        elif depth == 0:
            return token.upper()
    return None
