"""Mail from the app, to a real SMTP server."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
import trustme

import otelflask
from otelflask._internal.notifications import mail
from otelflask.testing import CapturedTelemetry
from tests.mailbox import Mailbox
from tests.unit.conftest import Make

TO = "a@shop.example, b@shop.example"


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    yield box
    box.stop()


@pytest.fixture
def mailing(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., flask.Flask]:
    """An app with a failing view at `/x` that sends mail; ``mailing(mailbox, **settings)``."""
    monkeypatch.setattr(mail, "PAUSES_S", (0.01, 0.01))

    def made(server: Mailbox | str, **options: Any) -> flask.Flask:
        address = server if isinstance(server, str) else f"127.0.0.1:{server.port}"
        settings = {
            "mail_to": TO,
            "mail_from": "Shop <shop@shop.example>",
            "mail_server": address,
            "mail_security": "none",
            "state_dir": str(tmp_path / "state"),
        }
        return make(RuntimeError("no lamps, password=hunter2"), **{**settings, **options})

    return made


def fail(app: flask.Flask, times: int = 1, path: str = "/x") -> None:
    """Let requests fail, and wait until the mails are sent."""
    for _ in range(times):
        assert app.test_client().get(path).status_code == 500
    assert app.extensions["otelflask"].telemetry.flush(10)


def outcomes(telemetry: CapturedTelemetry) -> dict[str, int]:
    return {p.attributes["otelflask.outcome"]: p.value for p in telemetry.points("otelflask.error.mails")}


def test_a_new_group_is_mailed_once_to_all(
    mailing: Callable[..., flask.Flask], mailbox: Mailbox, telemetry: CapturedTelemetry
) -> None:
    fail(mailing(mailbox, grafana_url="http://grafana.example/"), times=50)
    (message,) = mailbox.mails
    assert mailbox.recipients == [["a@shop.example", "b@shop.example"]]
    assert message["From"] == "Shop <shop@shop.example>"
    assert message["Subject"] == "[test] RuntimeError: no lamps, password=[redacted]"
    text = message.get_content()
    (first, *_) = telemetry.spans
    assert f"{first.context.trace_id:032x}" in text
    assert "GET /x" in text
    assert "Traceback (most recent call last)" in text
    assert "hunter2" not in text
    assert "http://grafana.example/d/otelflask-error-group?var-service=test&var-group=" in text
    assert outcomes(telemetry) == {"sent": 1}


def test_a_mail_names_the_user_and_its_subject_is_one_line(make: Make, mailbox: Mailbox, tmp_path: Path) -> None:
    app = make(
        RuntimeError("taken\n[SQL: INSERT INTO names]"),
        mail_to=TO,
        mail_from="shop@shop.example",
        mail_server=f"127.0.0.1:{mailbox.port}",
        mail_security="none",
        state_dir=str(tmp_path / "state"),
    )

    @app.before_request
    def know() -> None:
        flask.g.user_id = "李雷"

    fail(app)
    (message,) = mailbox.mails
    assert message["Subject"] == "[test] RuntimeError: taken"
    assert "User       李雷" in message.get_content()


def test_the_subject_has_a_prefix_by_setting(mailing: Callable[..., flask.Flask], mailbox: Mailbox) -> None:
    fail(mailing(mailbox, mail_subject_prefix="博客故障"))
    (message,) = mailbox.mails
    assert message["Subject"] == "博客故障 RuntimeError: no lamps, password=[redacted]"


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("debug", ["after init", "by the environment"])
def test_in_debug_mode_nothing_is_sent_unless_asked(
    mailing: Callable[..., flask.Flask],
    mailbox: Mailbox,
    monkeypatch: pytest.MonkeyPatch,
    asked: bool,
    debug: str,
) -> None:
    app = mailing(mailbox, mail_in_debug=asked)
    if debug == "after init":
        # As `app.run(debug=True)` does.
        app.debug = True
    else:
        monkeypatch.setenv("FLASK_DEBUG", "1")
    app.config["PROPAGATE_EXCEPTIONS"] = False
    fail(app)
    assert len(mailbox.mails) == int(asked)


def test_mail_of_flask_mails_config_is_sent(
    make: Make, mailbox: Mailbox, tmp_path: Path, telemetry: CapturedTelemetry
) -> None:
    app = make(RuntimeError("no lamps"), init=False)
    app.config.update(
        MAIL_SERVER="127.0.0.1",
        MAIL_PORT=mailbox.port,
        MAIL_USE_TLS=None,
        MAIL_ADMINS=["a@shop.example", "b@shop.example"],
    )
    otelflask.init(app, runtime_metrics=False, state_dir=str(tmp_path / "state"), **telemetry.providers)
    fail(app)
    (message,) = mailbox.mails
    assert mailbox.recipients == [["a@shop.example", "b@shop.example"]]
    assert message["From"] == "no-reply@127.0.0.1"


def test_the_last_mail_of_the_day_says_so(mailing: Callable[..., flask.Flask], mailbox: Mailbox) -> None:
    fail(mailing(mailbox, mail_per_day=1))
    assert "the last mail of today" in mailbox.mails[0].get_content()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def context(authority: trustme.CA) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(made)
    return made


def test_login_and_starttls_against_a_certificate_that_is_trusted(
    mailing: Callable[..., flask.Flask],
    authority: trustme.CA,
    context: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    box = Mailbox(context=context, login=("shop", "let-me-in"))
    try:
        fail(mailing(box, mail_security="starttls", mail_user="shop", mail_password="let-me-in"))
        assert len(box.mails) == 1
    finally:
        box.stop()


def test_a_certificate_that_is_not_trusted_gets_no_password(
    mailing: Callable[..., flask.Flask],
    context: ssl.SSLContext,
    telemetry: CapturedTelemetry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    box = Mailbox(context=context, login=("shop", "let-me-in"))
    try:
        login = {"mail_user": "shop", "mail_password": "let-me-in"}
        # The server logs errors of its own, in this process.
        fail(mailing(box, mail_security="starttls", report_level="off", **login))
    finally:
        box.stop()
    assert box.mails == []
    assert outcomes(telemetry) == {"failed": 1}
    assert "certificate verify failed" in caplog.text


def test_a_server_that_refuses_for_now_is_asked_again(
    mailing: Callable[..., flask.Flask], mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "PAUSES_S", (0.3, 0.3, 0.3))
    mailbox.answer = "451 try again later"
    app = mailing(mailbox)
    assert app.test_client().get("/x").status_code == 500
    time.sleep(0.2)
    mailbox.answer = "250 taken"
    assert app.extensions["otelflask"].telemetry.flush(10)
    assert len(mailbox.mails) == 1


def test_a_server_that_refuses_for_good_is_not_and_the_next_occurrence_tries_anew(
    mailing: Callable[..., flask.Flask], mailbox: Mailbox, telemetry: CapturedTelemetry
) -> None:
    mailbox.answer = "554 no"
    app = mailing(mailbox)
    fail(app)
    assert outcomes(telemetry) == {"failed": 1}
    mailbox.answer = "250 taken"
    fail(app)
    (message,) = mailbox.mails
    assert "2 times" in message.get_content()


def test_one_refused_recipient_keeps_the_others_mail(
    mailing: Callable[..., flask.Flask], mailbox: Mailbox, caplog: pytest.LogCaptureFixture
) -> None:
    mailbox.refuses = {"a@shop.example"}
    fail(mailing(mailbox))
    assert mailbox.recipients == [["b@shop.example"]]
    assert "a@shop.example" in caplog.text


def test_a_slow_server_delays_no_request(
    mailing: Callable[..., flask.Flask], mailbox: Mailbox, telemetry: CapturedTelemetry
) -> None:
    mailbox.open.clear()
    app = mailing(mailbox)
    # All of them before the server has answered the first.
    for _ in range(20):
        assert app.test_client().get("/x").status_code == 500
    assert mailbox.mails == []
    mailbox.open.set()
    assert app.extensions["otelflask"].telemetry.flush(10)
    assert len(mailbox.mails) == 1


def test_a_server_that_is_down_changes_no_answer_and_is_said(
    mailing: Callable[..., flask.Flask], telemetry: CapturedTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        fail(mailing(address))
    assert outcomes(telemetry) == {"failed": 1}
    assert f"{address} does not accept a mail" in caplog.text


def test_what_does_not_fit_in_the_queue_is_counted(
    mailing: Callable[..., flask.Flask],
    mailbox: Mailbox,
    telemetry: CapturedTelemetry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mail, "MAX_WAITING", 2)
    mailbox.open.clear()
    app = mailing(mailbox)
    for number in range(6):
        logging.getLogger("shop").error(f"problem {'abcdef'[number]}")
    mailbox.open.set()
    assert app.extensions["otelflask"].telemetry.flush(10)
    found = outcomes(telemetry)
    assert found["sent"] + found["queue_full"] == 6
    assert found["queue_full"] >= 3


@pytest.mark.parametrize("closed", [False, True])
def test_where_no_thread_can_be_had_the_end_mails_it_or_counts_it(
    mailing: Callable[..., flask.Flask],
    mailbox: Mailbox,
    telemetry: CapturedTelemetry,
    monkeypatch: pytest.MonkeyPatch,
    closed: bool,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    app = mailing(mailbox)
    started = app.extensions["otelflask"].telemetry
    mailer = next(sender for sender in started.pipeline.senders if isinstance(sender, mail.ErrorMail))
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert app.test_client().get("/x").status_code == 500
        if closed:
            mailer.begin_close(time.monotonic() + 10)
            mailer.join(time.monotonic() + 10)
            app.test_client().get("/y")
        else:
            mailer.begin_close(time.monotonic() + 10)
            assert mailer.join(time.monotonic() + 10)
    assert outcomes(telemetry) == {"sent": 1}
    assert len(mailbox.mails) == 1


def test_line_breaks_in_a_message_make_no_header(mailing: Callable[..., flask.Flask], mailbox: Mailbox) -> None:
    app = mailing(mailbox)
    logging.getLogger("shop").error("stock\r\nBcc: everybody@else.example")
    assert app.extensions["otelflask"].telemetry.flush(10)
    (message,) = mailbox.mails
    assert message["Bcc"] is None
    assert message["Subject"] == "[test] stock"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mail_to": "nobody"}, r"mail_to \(keyword argument\) is 'nobody'"),
        ({"mail_from": ""}, r"mail_from \(keyword argument\) is ''"),
        ({"mail_server": ""}, r"mail_server \(keyword argument\) is ''"),
        ({"mail_server": "mail:port"}, "is 'mail:port'"),
        ({"mail_user": "shop"}, "go together"),
        ({"mail_security": "ssl"}, "allowed are starttls, tls, none"),
        ({"mail_per_day": 0}, "at least 1"),
        ({"state_dir": "/proc/no/folder"}, "state_dir is '/proc/no/folder'"),
    ],
)
def test_settings_that_cannot_work_are_errors_at_start(
    mailing: Callable[..., flask.Flask], settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(otelflask.SettingError, match=said):
        mailing("mail.example", **settings)


def test_a_folder_that_others_can_write_is_refused(mailing: Callable[..., flask.Flask], tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(otelflask.SettingError, match="belongs to this user"):
        mailing("mail.example", state_dir=str(shared))


def test_a_password_is_in_no_representation_of_the_settings(
    mailing: Callable[..., flask.Flask], mailbox: Mailbox
) -> None:
    app = mailing(mailbox, mail_user="shop", mail_password="let-me-in")
    assert "let-me-in" not in repr(app.extensions["otelflask"])
