"""A real SMTP server in this process, with behaviour that a test can set."""

from __future__ import annotations

import email.policy
import ssl
import threading
from email.message import EmailMessage
from email.parser import BytesParser
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


class Mailbox:
    """An SMTP server. `answer` is its reply to a message, and `login` are the credentials that it wants."""

    def __init__(self, *, context: ssl.SSLContext | None = None, login: tuple[str, str] | None = None) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.answer = "250 taken"
        self.refuses: set[str] = set()
        #: Each message waits for it.
        self.open = threading.Event()
        self.open.set()
        self._login = login
        options: dict[str, Any] = {"hostname": "127.0.0.1", "port": 0}
        if context is not None:
            options.update(tls_context=context, require_starttls=True)
        if login is not None:
            options.update(authenticator=self._authenticate, auth_required=True)
        self._controller = _AnyPort(self, **options)
        self._controller.start()
        self.port: int = self._controller.server.sockets[0].getsockname()[1]

    def _authenticate(self, server: SMTP, session: Session, envelope: Envelope, kind: str, data: Any) -> AuthResult:
        given = (data.login.decode(), data.password.decode()) if isinstance(data, LoginPassword) else None
        return AuthResult(success=given == self._login)

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refuses:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        while not self.open.is_set():
            await _a_moment()
        if not self.answer.startswith("2"):
            return self.answer
        content = envelope.content
        assert isinstance(content, bytes)
        self.recipients.append(list(envelope.rcpt_tos))
        self.mails.append(BytesParser(_class=EmailMessage, policy=email.policy.SMTP).parsebytes(content))
        return self.answer

    def stop(self) -> None:
        """End the server."""
        self.open.set()
        self._controller.stop()


class _AnyPort(Controller):
    def _trigger_server(self) -> None:
        # The base class would ask for the requested port, which is 0.
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


async def _a_moment() -> None:
    import asyncio

    await asyncio.sleep(0.02)
