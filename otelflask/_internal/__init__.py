"""The private implementation of otelflask. docs/architecture.md describes the layout."""
