"""Secrets are masked by name and by pattern; everything else stays."""

from __future__ import annotations

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource

from otelflask._internal.attribute_layers import Layer
from otelflask._internal.export.otlp_encoder import Encoder
from otelflask._internal.limits import Limits
from otelflask._internal.redaction import MASK, Scrubber
from otelflask._internal.sdk.log_records import Record
from tests.otlp import encoded_logs


@pytest.mark.parametrize(
    "name",
    ["Authorization", "db_password", "X-Api-Key", "api_key_prod", "Set-Cookie", "client.secret", "csrfToken", "PASSWD"],
)
def test_values_of_sensitive_names_are_masked(name: str) -> None:
    assert Scrubber().value(name, "canary") == MASK


@pytest.mark.parametrize("name", ["http.route", "gen_ai.usage.input_tokens", "url.path", "token_count", "user.id"])
def test_values_of_other_names_stay(name: str) -> None:
    assert Scrubber().value(name, "fine") == "fine"


@pytest.mark.parametrize(
    "text",
    [
        "token=canary",
        "page=1&api_key=canary&x=2",
        '{"password": "canary", "n": 1}',
        "{'db_password': 'canary'}",
        "Authorization: Bearer canarycanary",
        "authorization=Basic canarycanary",
        "failed for postgres://user:canary@db:5432/shop",
        "jwt eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOjF9canary.sig",
        "my-client-secret => canary",
        "PASSWORD=canary;Server=x",
        "İİİ password=canary",
        "%20eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOjF9canary",
        "eyJ eyJhbGci.eyJhbGciOiJIUzI1NiJ9.canarycanary.canary.",
        "tokens=3 token=canary",
        "token token: 'canary' and more",
        "password = 'it\\'s canary'",
        "x" * 300 + "_password=canary",
    ],
)
def test_secrets_inside_texts_are_masked(text: str) -> None:
    assert "canary" not in Scrubber().text(text)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("card 4111 1111 1111 1111 ok", "card [redacted] ok"),
        ("4111111111111111", MASK),
        ("4111111111111112", "4111111111111112"),
        ("order 1700000000000000000", "order 1700000000000000000"),
        ("GET /api/products?page=2", "GET /api/products?page=2"),
        ("the token is gone", "the token is gone"),
        ("tokentoken", "tokentoken"),
        ("token = ", "token = "),
        ("tokens=17, tokenizer: fast", "tokens=17, tokenizer: fast"),
        ("eyJhbGciOiJIUzI1NiJ9", "eyJhbGciOiJIUzI1NiJ9"),
        ("eyJhbGciOiJIUzI1NiJ9.x", "eyJhbGciOiJIUzI1NiJ9.x"),
        ("eyJ.eyJ.eyJ", "eyJ.eyJ.eyJ"),
        ("AKIAABCDEFGHIJKLMNOP", MASK),
    ],
)
def test_what_is_no_secret_stays(text: str, kept: str) -> None:
    assert Scrubber().text(text) == kept


def test_nested_values_are_followed_to_a_depth() -> None:
    value = Scrubber().value("config", {"db": [{"password": "canary"}, "token=canary"], "n": 1})
    assert value == {"db": [{"password": MASK}, f"token={MASK}"], "n": 1}
    deep: dict[str, object] = {"password": "canary"}
    for _ in range(50):
        deep = {"inner": deep}
    assert "canary" not in str(Scrubber().value("x", deep))


def test_names_and_patterns_of_the_users_are_masked_too() -> None:
    scrubber = Scrubber(["iban"], [r"DE\d{20}"])
    assert scrubber.value("customer_iban", "x") == MASK
    assert scrubber.text("to DE12345678901234567890") == f"to {MASK}"


def test_one_letter_only_is_longer_in_lower_case() -> None:
    # A name is found in lower case, and read at the same position of the text.
    longer = [chr(code) for code in range(0x110000) if len(chr(code).lower()) != 1]
    assert longer == ["\u0130"]


def test_names_of_strangers_are_not_kept_for_ever() -> None:
    scrubber = Scrubber()
    for number in range(25_000):
        scrubber.text(f"token{number}=x {'token' * 100}{number}=x")
    assert len(scrubber._sensitive) <= 10_000
    assert max(map(len, scrubber._sensitive)) <= 128


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["X-Auth:", "a=b", "a%b"], "password: canary, token=canary, secret%3dcanary"),
        (["card"], "card number: canary"),
        ([], "my-secret_access key=canary"),
        ([], "api key: canary"),
    ],
)
def test_names_with_odd_letters_or_of_two_words_unmask_nothing(names: list[str], text: str) -> None:
    assert "canary" not in Scrubber(names).text(text)


def test_what_is_to_be_masked_from_now_on_is_masked_where_bytes_were_kept() -> None:
    scrubber = Scrubber()
    encoder = Encoder(scrubber, Limits())
    layer = Layer({"patient": "canary"})
    record = Record(1, SeverityNumber.INFO, "INFO", "x", (layer, {"patient_name": "canary"}), None)
    item = ReadableLogRecord(record, Resource({}), None)
    assert b"canary" in encoded_logs(encoder, [item])
    scrubber.add(["patient"], [])
    assert b"canary" not in encoded_logs(encoder, [item])
