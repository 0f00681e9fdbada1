"""The blog tutorial's chapter on errors, by hand and with otelflask."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mailbox import Mailbox
from tests.tutorials.running import FORMS, SENDING, Running, eventually, form_of, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def mailbox() -> Iterator[Mailbox]:
    box = Mailbox()
    yield box
    box.stop()


@pytest.fixture(scope="module", params=FORMS)
def app(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, mailbox: Mailbox
) -> Iterator[Running]:
    mailbox.mails.clear()
    mailbox.recipients.clear()
    folder = tmp_path_factory.mktemp("blog")
    variables = {"FLASK_MAIL_SERVER": "127.0.0.1", "FLASK_MAIL_PORT": str(mailbox.port)}
    variables["FLASK_MAIL_ADMINS"] = '["a@blog.example", "b@blog.example"]'
    with running("blog", form_of(request), folder, **variables) as found:
        for name in ("ann", "bob"):
            assert found.ask("/register", "POST", form={"name": name}).status == 302
        assert found.ask("/login", "POST", form={"name": "ann"}).status == 302
        yield found


def test_a_name_that_is_taken_shows_the_apps_page_mails_once_and_the_next_request_works(
    app: Running, mailbox: Mailbox
) -> None:
    answer = app.ask("/profile", "POST", form={"name": "bob"}, Accept="text/html")
    assert answer.status == 500
    assert "<h1>Something went wrong</h1>" in answer.text
    # The page's base reads the user.
    assert ">ann</a>" in answer.text
    assert app.ask("/profile", "POST", form={"name": "anna"}).status == 302
    assert ">anna</a>" in app.page("/").text
    (mail,) = eventually(lambda: list(mailbox.mails))
    assert mailbox.recipients == [["a@blog.example", "b@blog.example"]]
    assert mail["Subject"].startswith("Microblog: an error")
    text = mail.get_content()
    assert "Traceback (most recent call last)" in text
    assert "IntegrityError" in text
    assert "PendingRollbackError" not in text
    assert mail["From"] == "no-reply@127.0.0.1"


def test_the_log_has_one_line_for_it_with_its_place(app: Running) -> None:
    lines = app.lines("logs/microblog.log", "Exception on /profile [POST]")
    assert len(lines) == 1
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ERROR: Exception on /profile \[POST\] \[in /.*app\.py:\d+\]", lines[0]
    )
    assert any("IntegrityError" in line for line in app.lines("logs/microblog.log", "IntegrityError"))


def test_each_start_writes_a_line(app: Running) -> None:
    assert len(app.lines("logs/microblog.log", "starts" if app.is_by_hand else " started: otelflask ")) == 1


def test_a_page_that_is_missing_is_the_apps_own(app: Running) -> None:
    answer = app.page("/nowhere")
    assert answer.status == 404
    assert "<h1>There is no such page</h1>" in answer.text


@pytest.mark.parametrize("form", FORMS)
def test_in_debug_mode_there_is_neither_mail_nor_file(form: str, tmp_path: Path, mailbox: Mailbox) -> None:
    mailbox.mails.clear()
    variables = {"FLASK_MAIL_SERVER": "127.0.0.1", "FLASK_MAIL_PORT": str(mailbox.port), "FLASK_DEBUG": "1"}
    with running("blog", form, tmp_path, **variables) as app:
        app.ask("/register", "POST", form={"name": "ann"})
        assert app.ask("/register", "POST", form={"name": "ann"}).status == 500
        assert app.lines("output.txt", "IntegrityError")
    assert mailbox.mails == []
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize("form", FORMS)
def test_without_a_mail_server_there_is_no_mail(form: str, tmp_path: Path) -> None:
    with running("blog", form, tmp_path) as app:
        app.ask("/register", "POST", form={"name": "ann"})
        assert app.ask("/register", "POST", form={"name": "ann"}).status == 500
        assert app.lines("logs/microblog.log", "IntegrityError")


def test_the_report_is_about_the_first_error(app: Running) -> None:
    if app.form not in SENDING:
        pytest.skip("by hand nothing is sent")
    reports = app.records("exception", http__route="/profile")
    assert [report.attributes["exception.type"] for report in reports] == ["sqlalchemy.exc.IntegrityError"]
