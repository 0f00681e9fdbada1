"""Code of the app, of libraries, and code that is made at run time."""

from __future__ import annotations

import sysconfig

import pytest

from otelflask._internal.app_code import is_in_app


@pytest.mark.parametrize(
    "path",
    [
        "/srv/shop/views.py",
        "views.py",
        "<string>",
        "/srv/shop/<stdin>",
    ],
)
def test_code_of_the_app(path: str) -> None:
    assert is_in_app(path)


@pytest.mark.parametrize(
    "path",
    [
        "/srv/venv/lib/python3.12/site-packages/flask/app.py",
        sysconfig.get_path("stdlib") + "/json/decoder.py",
        "<frozen importlib._bootstrap>",
        "<attrs generated methods shop.Lamp>",
        "/srv/shop/<sqlalchemy generated warned() wrapper for sqlalchemy.orm.session.Session._flush>",
    ],
)
def test_code_of_libraries(path: str) -> None:
    assert not is_in_app(path)
