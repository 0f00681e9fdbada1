"""What users import, for the docs: ``make docs``."""

from __future__ import annotations

from griffe import GriffeLoader, Module, Parser
from griffe2md import ConfigDict, default_config, render_object_docs

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
    # Imported when it is asked for.
    loader.modules_collection["otelflask"]["SQLAlchemyInstrumentor"].public = True
    parts = ["# API\n\nWhat an app imports. Everything below `otelflask._internal` may change at any time.\n"]
    for name in PUBLIC:
        module = loader.modules_collection[name]
        assert isinstance(module, Module)
        # The same classes as in `otelflask.errors`: named, not described again.
        config = ConfigDict(**{**_CONFIG, "members": []}) if name == "otelflask.errors.exceptions" else _CONFIG
        parts.append(render_object_docs(module, config, format_md=True))
    return "\n".join(parts)


if __name__ == "__main__":
    print(page(), end="")
