"""The places of a statement in which only a name can stand, for SQLite.

SQLite reads ``"…"`` as a string where no column has that name ("Double-quoted String Literals Are Accepted"). So what
cannot be distinguished from a string is taken for one.
"""

from __future__ import annotations

import re

#: Words before a name or a list of names.
_LISTS = frozenset({"FROM", "INDEX", "INTO", "JOIN", "TABLE", "UPDATE", "USING"})
#: Words that begin something else.
_OTHERS = frozenset({"BY", "CHECK", "HAVING", "LIMIT", "ON", "RETURNING", "SELECT", "SET", "VALUES", "WHERE"})
#: Words of CREATE, ALTER and DROP before a name.
_OF_DEFINITIONS = frozenset({"ADD", "COLUMN", "CONSTRAINT", "DROP", "EXISTS", "RENAME", "TO"})
#: What is before a list of names in parentheses: in the clauses, and directly.
_BEFORE_COLUMNS = frozenset({"INDEX", "INTO", "TABLE", "USING"})
_DIRECTLY_BEFORE_COLUMNS = frozenset({"CONFLICT", "KEY", "UNIQUE"})
#: The clause of such a list.
_COLUMNS = "("
_ASSIGNED = re.compile(r"\s*=")


class NamePlaces:
    """Follows the tokens of a statement."""

    def __init__(self) -> None:
        self._previous = ""
        #: The clause at each level of parentheses: the word that has begun it.
        self._clauses = [""]

    def is_name(self, statement: str, end: int) -> bool:
        """Whether what follows the last token and ends there is a name."""
        clause, previous = self._clauses[-1], self._previous
        if previous in (".", "AS") or statement.startswith(".", end):
            return True
        if clause == "SET":
            return previous in ("SET", ",") and _ASSIGNED.match(statement, end) is not None
        if clause in ("TABLE", "INDEX") and (previous in _OF_DEFINITIONS or previous == "ON"):
            return True
        return clause in (*_LISTS, _COLUMNS) and previous in (clause, ",")

    def after(self, token: str) -> None:
        """Note the next token, but for spaces. Words are in upper case."""
        clauses, before = self._clauses, self._previous
        self._previous = token
        if token == "(":
            in_list = clauses[-1] in _BEFORE_COLUMNS or before in _DIRECTLY_BEFORE_COLUMNS
            clauses.append(_COLUMNS if in_list else "")
        elif token == ")" and len(clauses) > 1:
            clauses.pop()
        # CREATE INDEX … ON t (a, b).
        elif (token in _LISTS and (token, before) != ("FROM", "DISTINCT")) or (
            token in _OTHERS and (token, clauses[-1]) != ("ON", "INDEX")
        ):
            clauses[-1] = token
