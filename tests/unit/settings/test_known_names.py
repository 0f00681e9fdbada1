"""Settings under the names of Flask-Mail, redis and tutorials."""

from __future__ import annotations

from typing import Any

import pytest

from otelflask._internal.settings import SettingError, Settings
from otelflask._internal.settings.loading import load, sources

ADMINS = {"MAIL_SERVER": "smtp.shop.example", "MAIL_ADMINS": ["a@shop.example", "b@shop.example"]}


def _mail(config: dict[str, Any], **keywords: Any) -> dict[str, Any]:
    settings = load(keywords, config, {})
    return {
        name: getattr(settings, f"mail_{name}") for name in ("to", "from", "server", "security", "user", "password")
    }


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, {"server": "smtp.shop.example:25", "security": "none", "from": "no-reply@smtp.shop.example"}),
        ({"MAIL_PORT": "587", "MAIL_USE_TLS": True}, {"server": "smtp.shop.example:587", "security": "starttls"}),
        ({"MAIL_PORT": 465, "MAIL_USE_SSL": "1", "MAIL_USE_TLS": False}, {"security": "tls"}),
        ({"MAIL_USE_TLS": "False"}, {"security": "none"}),
        (
            {"MAIL_USERNAME": "me@shop.example", "MAIL_PASSWORD": "p"},
            {"user": "me@shop.example", "password": "p", "from": "me@shop.example"},
        ),
        ({"MAIL_USERNAME": "me"}, {"user": "", "password": "", "from": "no-reply@smtp.shop.example"}),
        ({"MAIL_DEFAULT_SENDER": ("Shop", "shop@shop.example")}, {"from": "Shop <shop@shop.example>"}),
        ({"MAIL_ADMINS": None, "ADMINS": ("c@shop.example",)}, {"to": "c@shop.example"}),
    ],
)
def test_mail_of_the_config_is_understood_as_flask_mail_writes_it(
    config: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = _mail({**ADMINS, **config})
    assert {name: found[name] for name in expected} == expected
    if "to" not in expected:
        assert found["to"] == "a@shop.example, b@shop.example"


@pytest.mark.parametrize(
    "config",
    [
        {"MAIL_SERVER": "", "MAIL_ADMINS": ["a@shop.example"]},
        {"MAIL_ADMINS": ["a@shop.example"]},
        {"MAIL_SERVER": "smtp.shop.example"},
        {"MAIL_SERVER": "smtp.shop.example", "ADMINS": [1, 2]},
        {"MAIL_SERVER": "smtp.shop.example", "ADMINS": ["root"]},
    ],
)
def test_without_a_server_or_an_address_there_is_no_mail(config: dict[str, Any]) -> None:
    assert load({}, config, {}).mail_to == ""


def test_a_setting_of_ours_goes_first() -> None:
    ours = _mail({**ADMINS, "OTELFLASK_MAIL_TO": "c@shop.example"})
    assert (ours["to"], ours["server"]) == ("c@shop.example", "smtp.shop.example:25")
    # Another server has another encryption and login.
    config = {**ADMINS, "MAIL_USERNAME": "me@shop.example", "MAIL_PASSWORD": "p"}
    ours = _mail(config, mail_server="mail.example", mail_from="x@shop.example")
    assert (ours["server"], ours["security"], ours["user"]) == ("mail.example", "starttls", "")
    assert ours["to"] == "a@shop.example, b@shop.example"


def test_an_error_in_such_a_value_names_where_it_is() -> None:
    with pytest.raises(SettingError, match=r'mail_server \(app.config\["MAIL_SERVER"\] and .*"MAIL_PORT"\]\) is'):
        load({}, {**ADMINS, "MAIL_PORT": "smtp"}, {})


def test_a_redis_url_of_config_or_environment_is_checked() -> None:
    environ = {"REDIS_URL": "redis://b:6379/0"}
    assert load({}, {"REDIS_URL": "rediss://a:6379/0"}, environ).health_redis == "rediss://a:6379/0"
    assert load({}, {}, environ).health_redis == "redis://b:6379/0"
    assert load({}, {"OTELFLASK_HEALTH_REDIS": ""}, environ).health_redis == ""
    assert load({}, {"REDIS_URL": "memory://"}, {}).health_redis == ""
    assert sources({}, {}, environ) == {"health_redis": "environment variable REDIS_URL"}


@pytest.mark.parametrize(("value", "share"), [(True, 1.0), ("true", 1.0), (False, 0.0), ("0", 0.0), (None, 0.0)])
def test_profiling_enabled_profiles_each_request(value: object, share: float) -> None:
    settings = load({}, {"PROFILING_ENABLED": value}, {})
    assert (settings.profile_share, settings.profile_slow) == (share, 0.0 if share else Settings().profile_slow)


@pytest.mark.parametrize(
    ("admins", "to"),
    [("a@b.example", "a@b.example"), ([("Shop", "a@b.example"), "c@d.example"], "Shop <a@b.example>, c@d.example")],
)
def test_admins_may_be_a_text_and_have_names(admins: Any, to: str) -> None:
    assert load({}, {"MAIL_SERVER": "smtp.example", "MAIL_ADMINS": admins}, {}).mail_to == to


@pytest.mark.parametrize("admins", [["boss"], "boss", [None], 7])
def test_admins_that_are_no_addresses_are_an_error(admins: Any) -> None:
    with pytest.raises(SettingError, match=r'mail_to \(app.config\["MAIL_ADMINS"\]\) is .*allowed are mail addresses'):
        load({}, {"MAIL_SERVER": "smtp.example", "MAIL_ADMINS": admins}, {})
