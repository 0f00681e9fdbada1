"""Mails about errors, for an app without Grafana: one a group an hour, off the request's thread.

Requests only append. A thread of its own writes the mails; a server that is
down, slow or refusing costs that thread's time and nobody else's.
"""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

from otelflask._internal import clock, guard
from otelflask._internal.error_reports.report import Report
from otelflask._internal.lifecycle.worker import Worker
from otelflask._internal.limits import Limits
from otelflask._internal.notifications.message import mail_of
from otelflask._internal.notifications.throttle import Throttle
from otelflask._internal.redaction import Scrubber
from otelflask._internal.settings import Settings
from otelflask._internal.shared_folder import SharedFolder
from otelflask._internal.version import __version__

#: Groups that wait to be mailed.
MAX_WAITING = 200
#: Seconds that one answer of the server may take, and pauses before it is tried again.
TIMEOUT_S = 10.0
PAUSES_S = (1.0, 10.0, 60.0, 120.0)

#: Ports by `mail_security` (RFC 5321, RFC 6409, RFC 8314).
_PORTS = {"none": 25, "starttls": 587, "tls": 465}


class ErrorMail:
    """Mails groups of errors; `told` takes what is to be mailed.

    In: settings with `mail_to`, what the processes of a service have in common,
    the resource's attributes, the scrubber, what a report may carry, the meter
    provider, a clock in epoch seconds. Raises SettingError when `state_dir`
    cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        service: str,
        resource: dict[str, Any],
        scrubber: Scrubber,
        limits: Limits,
        meter_provider: Any,
        now: Callable[[], float] = clock.epoch_seconds,
    ) -> None:
        self._settings = settings
        self._resource = resource
        self._scrubber = scrubber
        self._limits = limits
        self._now = now
        self._throttle = Throttle(SharedFolder.of(settings), service, settings.mail_per_day)
        self._mails = meter_provider.get_meter("otelflask.errors", __version__).create_counter(
            "otelflask.error.mails", unit="{mail}", description="Mails about errors, by what became of them."
        )
        self._worker = Worker("mail", self._work)
        self.after_fork()

    def after_fork(self) -> None:
        """A child mails what it meets itself."""
        self._waiting: deque[tuple[Report, int]] = deque()
        self._worker.after_fork()
        self._busy = False
        self._left = 0

    def told(self, report: Report, count: int) -> None:
        """A group occurred. In: its last report, and how often since it was told last. Never blocks on the network."""
        if len(self._waiting) >= MAX_WAITING or self._worker.closing_at is not None:
            self._count("queue_full")
            return
        self._waiting.append((report, count))
        self._worker.wake()
        if self._worker.thread is None and self._worker.closing_at is not None:
            # The process has ended meanwhile: nobody would mail it.
            self.give_up()

    def _count(self, outcome: str) -> None:
        self._mails.add(1, {"otelflask.outcome": outcome})

    def _work(self) -> None:
        while True:
            try:
                report, count = self._waiting.popleft()
            except IndexError:
                return
            self._busy = True
            try:
                guard.attempt(self._mail, report, count, instead=self._unwritten)
            finally:
                self._busy = False

    def _unwritten(self, error: Exception) -> None:
        self._count("failed")
        guard.say("mail", "a mail about an error cannot be written", exc_info=error)

    def _mail(self, report: Report, count: int) -> None:
        now = self._now()
        claim = self._throttle.claim(report.group.fingerprint, count, now)
        if claim is None:
            return
        sent = False
        try:
            sent = self._send(mail_of(report, claim, self._settings, self._resource, self._scrubber, self._limits))
        finally:
            if sent:
                self._throttle.sent(report.group.fingerprint, claim, now)
            else:
                self._throttle.failed(report.group.fingerprint, now)
        self._count("sent" if sent else "failed")

    def _send(self, message: Any) -> bool:
        for pause in (*PAUSES_S, None):
            try:
                server = self._connected()
                try:
                    refused = server.send_message(message)
                    # It is sent, whatever a server makes of a goodbye.
                    with contextlib.suppress(OSError, smtplib.SMTPException):
                        server.quit()
                finally:
                    server.close()
                if refused:
                    guard.say("mail:refused", "the mail server refused recipients: %s", ", ".join(refused))
                return True
            except (OSError, smtplib.SMTPException) as error:
                if pause is None or _is_final(error) or not self._pause(pause):
                    server_name = self._settings.mail_server
                    guard.say(
                        f"mail:{server_name}",
                        "%s does not take a mail about an error (mail_security is %s): %s",
                        server_name,
                        self._settings.mail_security,
                        error,
                    )
                    return False
        return False

    def _connected(self) -> smtplib.SMTP:
        settings = self._settings
        host, _, port = settings.mail_server.partition(":")
        number = int(port or _PORTS[settings.mail_security])
        timeout = TIMEOUT_S
        timeout = max(0.1, min(timeout, self._worker.remaining()))
        if settings.mail_security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(host, number, timeout=timeout, context=ssl.create_default_context())
        else:
            server = smtplib.SMTP(host, number, timeout=timeout)
        try:
            if settings.mail_security == "starttls":
                server.starttls(context=ssl.create_default_context())
            if settings.mail_user:
                server.login(settings.mail_user, settings.mail_password)
        except BaseException:
            server.close()
            raise
        return server

    def _pause(self, seconds: float) -> bool:
        """Wait. Out: False where the process ends meanwhile."""
        self._worker.pause(seconds)
        return self._worker.closing_at is None

    def flush(self, timeout: float) -> bool:
        """Wait until all is mailed, for at most `timeout` seconds. Out: whether it is."""
        return True if self._worker.thread is None and not self._waiting else self._worker.flush(timeout)

    def begin_close(self, deadline: float) -> None:
        """Take no more, and try what waits until `deadline` (time.monotonic seconds)."""
        self._worker.begin_close(deadline)

    def join(self, deadline: float) -> bool:
        """Wait for the thread until `deadline`. Out: whether it has ended."""
        if self._waiting and self._worker.thread is None:
            # No thread can be had (any more): here, then.
            self._work()
        return self._worker.join(deadline)

    def give_up(self) -> None:
        """Mails that wait are lost."""
        # One may be on its way.
        self._left = len(self._waiting) + self._busy
        for _ in range(self._left):
            self._count("failed")
        self._waiting.clear()

    def waits_for(self) -> str:
        """What the end of the process waits for, in words."""
        return f"{self._settings.mail_server} to take mails about errors"

    def lost(self) -> dict[tuple[str, str], str]:
        """Mails that the end of the process has left."""
        if not self._left:
            return {}
        return {(self._settings.mail_server, "has not taken it in time"): f"mails about errors: {self._left}"}


def _is_final(error: Exception) -> bool:
    """Whether trying again is of no use: a 5xx, an extension that is not there, a certificate that is not trusted."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    if isinstance(error, smtplib.SMTPResponseException):
        return error.smtp_code >= 500
    return isinstance(error, (smtplib.SMTPNotSupportedError, ssl.SSLCertVerificationError))
