"""The page of the public API, for the docs: ``make docs``."""

from __future__ import annotations

import re

from griffe import GriffeLoader, Module, Parser
from griffe2md import ConfigDict, default_config, render_object_docs

from otelflask._internal.names import MOVED

#: The modules that users import.
PUBLIC = (
    "otelflask",
    "otelflask.breaker",
    "otelflask.errors",
    "otelflask.errors.exceptions",
    "otelflask.gunicorn",
    "otelflask.health",
    "otelflask.testing",
)
#: The names of the package, in the order in which a reader meets them.
NAMES = (
    "init",
    "OtelFlask",
    "flush",
    "shutdown",
    "event",
    "set_user",
    "get_request_id",
    "SettingError",
    "FlaskInstrumentor",
    "SQLAlchemyInstrumentor",
)
_CONFIG = ConfigDict(
    **{
        **default_config,
        "docstring_style": "google",
        "heading_level": 2,
        "inherited_members": False,
        "members_order": "source",
        "show_bases": False,
        "show_if_no_docstring": False,
        "show_signature_annotations": True,
        "signature_crossrefs": False,
        "show_submodules": False,
        "summary": False,
    }
)


def page() -> str:
    """``docs/api.md``."""
    loader = GriffeLoader(docstring_parser=Parser(_CONFIG["docstring_style"] or "google"))
    loader.load("otelflask", submodules=True)
    loader.resolve_aliases(external=False)
    parts = ["# API\n\nWhat an app imports. Everything below `otelflask._internal` may change at any time.\n"]
    for name in PUBLIC:
        module = loader.modules_collection[name]
        assert isinstance(module, Module)
        if module.docstring is not None:
            # For pytest alone.
            module.docstring.value = module.docstring.value.partition("PYTEST_DONT_REWRITE")[0].rstrip()
        # The same classes as in `otelflask.errors`, which are described there.
        shown = [] if name in ("otelflask", "otelflask.errors.exceptions") else None
        parts.append(render_object_docs(module, ConfigDict(**{**_CONFIG, "members": shown}), format_md=True))
        if name == "otelflask":
            parts += [_described(module, member) for member in NAMES]
    return "\n".join([*map(_without_anchors, parts), _moved()])


def _without_anchors(text: str) -> str:
    """The text with types as code, not as links, because the page has no headings for them."""
    types = re.compile(r"<code>(.*?)</code>")
    links = re.compile(r"\[((?:[^\[\]\\]|\\.)*)\]\(#[^)]*\)")
    text = types.sub(lambda found: "`" + re.sub(r"\\(.)", r"\1", links.sub(r"\1", found[1])) + "`", text)
    return links.sub(r"\1", text)


def _described(module: Module, name: str) -> str:
    """A name of the package, which is defined elsewhere."""
    target = module[name].final_target
    text: str = render_object_docs(target, ConfigDict(**{**_CONFIG, "heading_level": 3}), format_md=True)
    return text.replace(target.path, f"{module.path}.{name}")


def _moved() -> str:
    rows = [
        f"| `{module}` | {', '.join(f'`{name}`' for name in names)} | `{place}` |"
        for module, (place, names) in MOVED.items()
        if place
    ]
    head = "## Old import paths\n\nThey work, with a DeprecationWarning.\n\n| from | names | now in |\n|---|---|---|"
    return "\n".join([head, *rows, ""])


if __name__ == "__main__":
    print(page(), end="")
