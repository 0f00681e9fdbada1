"""Fixtures of the integration tests, for servers whose pages are opened."""

from tests.integration.conftest import app_dir, serve

__all__ = ["app_dir", "serve"]
