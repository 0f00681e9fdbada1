"""Access to the live page, and its addresses."""

from __future__ import annotations

import re
from typing import Any

import pytest
from werkzeug.middleware.proxy_fix import ProxyFix

from otelflask._internal import guard
from otelflask._internal.settings import SettingError
from tests.unit.live_page.conftest import LOCAL, VIEWS, Make, ask


@pytest.mark.parametrize("environ", [{"SCRIPT_NAME": "/shop"}, {"HTTP_X_FORWARDED_PREFIX": "/shop"}], ids=str)
def test_below_a_prefix_its_addresses_have_it(make: Make, environ: dict[str, str]) -> None:
    app = make(environment="production", monitor="on", monitor_token="t0ken")
    app.wsgi_app = ProxyFix(app.wsgi_app, x_prefix=1, x_proto=1, x_host=1)
    client = app.test_client()
    client.get("/items/1", environ_overrides=environ)
    token = {"HTTP_AUTHORIZATION": "Bearer t0ken", **environ}
    for view in VIEWS:
        page = client.get(f"/monitoring/{view}", environ_overrides=token).text
        addresses = re.findall(r'(?:src|href|action)="(/[^"]*)"', page)
        assert len(addresses) > 8
        assert all(address.startswith("/shop/monitoring") for address in addresses)
    sent = client.get("/monitoring/logs?text=x&token=t0ken", environ_overrides=environ)
    assert (sent.status_code, sent.headers["Location"]) == (303, "/shop/monitoring/logs?text=x")
    assert "Path=/shop/monitoring;" in sent.headers["Set-Cookie"]


def test_a_cookie_over_https_is_for_https_alone_behind_a_proxy_too(make: Make) -> None:
    app = make(environment="production", monitor="on", monitor_token="t0ken")
    app.wsgi_app = ProxyFix(app.wsgi_app, x_proto=1)
    far = {"HTTP_X_FORWARDED_PROTO": "https"}
    assert "; Secure" in app.test_client().get("/monitoring?token=t0ken", environ_overrides=far).headers["Set-Cookie"]


def test_an_address_is_never_one_of_another_host(make: Make) -> None:
    page = ask(make(), "/monitoring", SCRIPT_NAME="//evil.example").text
    assert 'href="/evil.example/monitoring/requests"' in page
    assert '"//evil' not in page


@pytest.mark.parametrize(
    "path", ["/monitoring", "/monitoring/", "/monitoring/requests", "/monitoring/assets/x/page.js"]
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS", "DELETE"])
@pytest.mark.parametrize(
    ("settings", "environ"),
    [
        ({"environment": "production"}, {}),
        ({"monitor": "off"}, {}),
        ({}, {"REMOTE_ADDR": "10.0.0.7"}),
        ({}, {"HTTP_HOST": "evil.example"}),
        ({}, {"HTTP_X_FORWARDED_FOR": "10.0.0.7"}),
        ({"monitor": "on", "monitor_token": "t0ken"}, {}),
        ({"monitor": "on", "monitor_token": "t0ken"}, {"HTTP_COOKIE": "otelflask_monitor=wrong"}),
    ],
    ids=str,
)
def test_to_who_may_not_see_it_every_path_is_the_apps_own_404(
    make: Make, settings: dict[str, str], environ: dict[str, str], method: str, path: str
) -> None:
    client = make(**settings).test_client()
    answer = client.open(path, method=method, environ_overrides={**LOCAL, **environ})
    own = client.open("/nowhere", method=method, environ_overrides={**LOCAL, **environ})
    assert (answer.status_code, answer.mimetype) == (own.status_code, own.mimetype) == (404, own.mimetype)


def test_a_token_is_sent_once_and_becomes_a_cookie_that_is_not_the_token(make: Make) -> None:
    client = make(environment="production", monitor="on", monitor_token="t0ken").test_client()
    far = {"REMOTE_ADDR": "10.0.0.7"}
    assert client.get("/monitoring?token=wrong", environ_overrides=far).status_code == 404
    sent = client.get("/monitoring?token=t0ken", environ_overrides=far)
    assert (sent.status_code, sent.headers["Location"]) == (303, "/monitoring")
    cookie = sent.headers["Set-Cookie"]
    assert "t0ken" not in cookie
    assert all(part in cookie for part in ("HttpOnly", "SameSite=Lax", "Path=/monitoring"))
    assert client.get("/monitoring", environ_overrides=far).status_code == 200
    assert client.get("/monitoring/requests", environ_overrides=far).status_code == 200


def test_a_function_of_the_users_decides(make: Make) -> None:
    app = make(
        environment="production", monitor="on", may_monitor=lambda environ: environ.get("HTTP_X_ROLE") == "admin"
    )
    assert app.test_client().get("/monitoring").status_code == 404
    assert app.test_client().get("/monitoring", headers={"X-Role": "admin"}).status_code == 200


def test_on_for_nobody_is_an_error_that_says_what_to_set(make: Make) -> None:
    with pytest.raises(SettingError, match=r"nobody could see the page; allowed is to set monitor_token"):
        make(monitor="on")


@pytest.mark.parametrize("before", ['prefs={"a":1}; ', "x=\u00e9; ", "a b=c; ", "expires=1; ", "a[b]=c; "])
def test_a_cookie_of_another_app_hides_nothing(make: Make, before: str) -> None:
    client = make(environment="production", monitor="on", monitor_token="t0ken").test_client()
    cookie = client.get("/monitoring?token=t0ken").headers["Set-Cookie"].partition(";")[0]
    client = client.application.test_client(use_cookies=False)
    answer = client.get("/monitoring", environ_overrides={"HTTP_COOKIE": before + cookie})
    assert answer.status_code == 200


def test_a_path_of_nothing_is_no_page(make: Make) -> None:
    app = make(monitor_path="")
    assert ask(app, "/requests").status_code == 404
    assert ask(app, "/items/1").text == "item 1"


def test_a_peer_that_an_ipv6_server_sees_as_mapped_is_this_machine(make: Make) -> None:
    assert ask(make(), "/monitoring", REMOTE_ADDR="::ffff:127.0.0.1").status_code == 200
    assert ask(make(), "/monitoring", REMOTE_ADDR="::ffff:10.0.0.7").status_code == 404


@pytest.mark.parametrize(
    ("settings", "what"),
    [({"monitor_token": "t0ken"}, "monitor_token"), ({"may_monitor": lambda: True}, "may_monitor")],
    ids=["monitor_token", "may_monitor"],
)
def test_access_that_is_set_and_not_used_is_told(
    make: Make, caplog: pytest.LogCaptureFixture, settings: dict[str, Any], what: str
) -> None:
    guard._last_logged.clear()
    make(**settings)
    assert f"{what} is not used, because monitor is 'auto': set monitor='on'" in caplog.text
