"""Mail about errors, for example for an app without Grafana: at most one mail per group and hour.

A request only appends. A thread writes and sends the mails. A mail server that is down, slow or
refuses mail delays only that thread.
"""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

from otelflask._internal import attribute_names, clock, guard
from otelflask._internal.error_reports.report import Report
from otelflask._internal.lifecycle.background_task import BackgroundTask
from otelflask._internal.limits import Limits
from otelflask._internal.notifications.message import mail_of
from otelflask._internal.notifications.throttle import Throttle
from otelflask._internal.redaction import Scrubber
from otelflask._internal.settings import Settings
from otelflask._internal.shared_folder import SharedFolder
from otelflask._internal.version import __version__

#: The maximum number of notifications that wait.
MAX_WAITING = 200
#: Seconds that one response of the server may take.
TIMEOUT_S = 10.0
#: Seconds of the pauses before further attempts.
PAUSES_S = (1.0, 10.0, 60.0, 120.0)

#: Ports by `mail_security` (RFC 5321, RFC 6409, RFC 8314).
_PORTS = {"none": 25, "starttls": 587, "tls": 465}


class ErrorMail:
    """Sends mails about groups of errors. `notify` queues one.

    Args:
        settings: Settings with `mail_to`.
        service: An identifier of the service, equal in all its processes.
        resource: The resource's attributes.
        scrubber: Masks secrets.
        limits: The limits of attributes that a mail shows.
        meter_provider: Where mails are counted.
        now: Returns epoch seconds.

    Raises:
        SettingError: `state_dir` cannot be used.
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
            "otelflask.error.mails", unit="{mail}", description="Mails about errors, by outcome."
        )
        self._task = BackgroundTask("mail", self._work)
        self.after_fork()

    def after_fork(self) -> None:
        """Forget the parent's mails."""
        self._waiting: deque[tuple[Report, int]] = deque()
        self._task.after_fork()
        self._sending = False
        self._lost_count = 0

    def notify(self, report: Report, count: int) -> None:
        """Queue a group for a mail. Never waits for the network.

        Args:
            report: The group's last report.
            count: Occurrences since the last call for this group.
        """
        if len(self._waiting) >= MAX_WAITING or self._task.closing_at is not None:
            self._count("queue_full")
            return
        self._waiting.append((report, count))
        self._task.wake()
        if self._task.thread is None and self._task.closing_at is not None:
            # It was closed meanwhile, and nobody would send the mail.
            self.give_up()

    def _count(self, outcome: str) -> None:
        self._mails.add(1, {attribute_names.OUTCOME: outcome})

    def _work(self) -> None:
        while True:
            try:
                report, count = self._waiting.popleft()
            except IndexError:
                return
            self._sending = True
            try:
                guard.attempt(self._mail, report, count, on_error=self._count_failed)
            finally:
                self._sending = False

    def _count_failed(self, error: Exception) -> None:
        self._count("failed")
        guard.log("mail", "a mail about an error failed", exc_info=error)

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
                server = self._connect()
                try:
                    refused = server.send_message(message)
                    # The mail is sent, whatever the server responds to QUIT.
                    with contextlib.suppress(OSError, smtplib.SMTPException):
                        server.quit()
                finally:
                    server.close()
                if refused:
                    guard.log("mail:refused", "the mail server refused recipients: %s", ", ".join(refused))
                return True
            except (OSError, smtplib.SMTPException) as error:
                if pause is None or _is_final(error) or not self._pause(pause):
                    server_name = self._settings.mail_server
                    guard.log(
                        f"mail:{server_name}",
                        "%s does not accept a mail about an error (mail_security is %s): %s",
                        server_name,
                        self._settings.mail_security,
                        error,
                    )
                    return False
        return False

    def _connect(self) -> smtplib.SMTP:
        settings = self._settings
        host, _, port = settings.mail_server.partition(":")
        number = int(port or _PORTS[settings.mail_security])
        timeout = TIMEOUT_S
        timeout = max(0.1, min(timeout, self._task.remaining()))
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
        """Wait.

        Returns:
            False where the process ends meanwhile.
        """
        self._task.pause(seconds)
        return self._task.closing_at is None

    def flush(self, timeout: float) -> bool:
        """Wait until every queued mail was tried, for at most `timeout` seconds.

        Returns:
            Whether that was done in time.
        """
        return True if self._task.thread is None and not self._waiting else self._task.flush(timeout)

    def begin_close(self, deadline: float) -> None:
        """Accept no more mails, and try to send the queued ones until `deadline` (time.monotonic seconds)."""
        self._task.begin_close(deadline)

    def join(self, deadline: float) -> bool:
        """Wait for the thread until `deadline` (time.monotonic seconds).

        Returns:
            Whether it has ended.
        """
        if self._waiting and self._task.thread is None:
            # No thread is available any more, so send here.
            self._work()
        return self._task.join(deadline)

    def give_up(self) -> None:
        """Stop waiting. The remaining mails are lost."""
        # One may be on its way.
        self._lost_count = len(self._waiting) + self._sending
        for _ in range(self._lost_count):
            self._count("failed")
        self._waiting.clear()

    def waits_for(self) -> str:
        """What the end of the process waits for, in words."""
        return f"{self._settings.mail_server} to accept mails about errors"

    def lost(self) -> dict[tuple[str, str], str]:
        """The mails that were not sent before the process ended: (server, reason) → amount, in words."""
        if not self._lost_count:
            return {}
        return {(self._settings.mail_server, "did not accept it in time"): f"mails about errors: {self._lost_count}"}


def _is_final(error: Exception) -> bool:
    """Whether another attempt is useless: a 5xx, a missing extension, an untrusted certificate."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return all(code >= 500 for code, _ in error.recipients.values())
    if isinstance(error, smtplib.SMTPResponseException):
        return error.smtp_code >= 500
    return isinstance(error, (smtplib.SMTPNotSupportedError, ssl.SSLCertVerificationError))
