"""How many lines of error and monitoring code each tutorial's app has, by hand and with otelflask.

What counts is code outside of ``views.py`` and of templates: no blank lines, comments and
docstrings. Lines that both forms have, such as the factory's, are no such code.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
TITLES = {
    "course": "Error handling and monitoring (a course's chapter)",
    "handlers": "Flask's pages on application errors",
    "catalogue": "JSON errors by subclassing HTTPException",
    "hooks": "Monitoring by request hooks, with Loki",
    "blog": "The blog tutorial's chapter on errors",
}
#: What an app keeps, because it is what the tutorial teaches of Flask itself, or of its load test.
KEPT = {"handlers": ("errors.py", "exceptions.py", "debugger.py"), "hooks": ("locustfile.py",)}
_NO_CODE = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def code_lines(text: str) -> list[str]:
    """The lines of code of a module, without indentation."""
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                docstrings.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    used: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE:
            used.update(range(token.start[0], token.end[0] + 1))
    lines = text.splitlines()
    return [lines[number - 1].strip() for number in sorted(used - docstrings)]


def _lines(package: Path, kept: tuple[str, ...]) -> Counter[str]:
    files = [path for path in sorted(package.glob("*.py")) if path.name != "views.py" and path.name not in kept]
    return Counter(line for path in files for line in code_lines(path.read_text("utf-8")))


def counts(name: str) -> tuple[int, int]:
    """The lines of error and monitoring code of one app, by hand and with otelflask."""
    kept = KEPT.get(name, ())
    by_hand, ours = _lines(HERE / "by_hand" / name, kept), _lines(HERE / "with_otelflask" / name, kept)
    common = by_hand & ours
    return (by_hand - common).total(), (ours - common).total()


def table() -> str:
    """The lines as a Markdown table."""
    rows = ["| tutorial | by hand | with otelflask | deleted |", "|---|---|---|---|"]
    total = [0, 0]
    for name, title in TITLES.items():
        by_hand, ours = counts(name)
        total = [total[0] + by_hand, total[1] + ours]
        rows.append(f"| {title} | {by_hand} | {ours} | {_share(by_hand, ours)} |")
    rows.append(f"| all | {total[0]} | {total[1]} | {_share(*total)} |")
    return "\n".join(rows)


def _share(by_hand: int, ours: int) -> str:
    return f"{100 * (by_hand - ours) / by_hand:.0f} %"


if __name__ == "__main__":
    print(table())
