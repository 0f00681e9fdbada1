"""What an attempt that fails says: what is wrong with the address, and what to write."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, HTTPServer

import grpc
import pytest
import trustme

from otelflask._internal import guard
from otelflask._internal.export.destinations import Destination, GrpcDestination, HttpDestination, SendResult
from otelflask._internal.export.queue import ExportQueue, QueueOptions
from otelflask.testing import FakeCollector, Reply

Send = Callable[[str, str], SendResult]


@pytest.fixture(scope="module")
def certificate() -> trustme.LeafCert:
    """Of an authority that nobody trusts."""
    return trustme.CA().issue_cert("localhost")


@pytest.fixture
def https(certificate: trustme.LeafCert) -> Iterator[str]:
    """An HTTP server with TLS. It answers HTTP without TLS as Go's does."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_error(500)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)

    class Server(HTTPServer):
        def get_request(self) -> tuple[socket.socket, object]:
            plain, address = self.socket.accept()
            plain.settimeout(5)
            if plain.recv(1, socket.MSG_PEEK) == b"P":
                plain.recv(65_536)
                body = b"Client sent an HTTP request to an HTTPS server.\n"
                plain.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n" + body)
                plain.shutdown(socket.SHUT_WR)
                while plain.recv(65_536):
                    pass
                plain.close()
                raise OSError("no TLS")
            return context.wrap_socket(plain, server_side=True), address

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"https://localhost:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def grpcs(certificate: trustme.LeafCert) -> Iterator[str]:
    """A gRPC server with TLS."""
    server = grpc.server(futures.ThreadPoolExecutor(1))
    pair = (certificate.private_key_pem.bytes(), certificate.cert_chain_pems[0].bytes())
    port = server.add_secure_port("localhost:0", grpc.ssl_server_credentials([pair]))
    server.start()
    yield f"https://localhost:{port}"
    server.stop(0).wait()


@pytest.fixture
def send(monkeypatch: pytest.MonkeyPatch) -> Iterator[Send]:
    made: list[Destination] = []

    def sent(protocol: str, endpoint: str) -> SendResult:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        made.append(GrpcDestination("traces") if protocol == "grpc" else HttpDestination("traces"))
        return made[-1].send(b"", 5.0)

    yield sent
    for destination in made:
        destination.close()


def test_each_of_the_two_protocols_names_the_other(send: Send, fake_collector: FakeCollector) -> None:
    for protocol, endpoint, right in (
        (
            "http",
            fake_collector.grpc_endpoint,
            "a gRPC receiver is at this address; set OTEL_EXPORTER_OTLP_PROTOCOL=grpc",
        ),
        (
            "grpc",
            fake_collector.http_endpoint,
            "an HTTP receiver is at this address; set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        ),
    ):
        result = send(protocol, endpoint)
        assert result.advice.startswith(right)
        assert (result.retry, result.unreachable) == (True, False)


def test_https_where_there_is_no_tls(send: Send, fake_collector: FakeCollector) -> None:
    for protocol, endpoint in (("http", fake_collector.http_endpoint), ("grpc", fake_collector.grpc_endpoint)):
        advice = send(protocol, endpoint.replace("http://", "https://")).advice
        assert advice == "the receiver has no TLS; write http:// instead of https://"


def test_http_where_there_is_tls(send: Send, https: str, grpcs: str) -> None:
    assert send("http", https.replace("https://", "http://")).advice.endswith("write https:// instead of http://")
    assert "(write https://)" in send("grpc", grpcs.replace("https://", "http://")).advice


def test_a_certificate_that_is_not_trusted(send: Send, https: str, grpcs: str) -> None:
    for protocol, endpoint in (("http", https), ("grpc", grpcs)):
        assert "OTEL_EXPORTER_OTLP_CERTIFICATE" in send(protocol, endpoint).advice


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "OTEL_EXPORTER_OTLP_HEADERS"),
        (403, "OTEL_EXPORTER_OTLP_HEADERS"),
        (404, "/v1/traces"),
        (405, "no OTLP receiver"),
        (501, "no OTLP receiver"),
    ],
)
def test_a_status_that_says_what_is_missing(
    send: Send, fake_collector: FakeCollector, status: int, advice: str
) -> None:
    fake_collector.default = Reply(status)
    assert advice in send("http", fake_collector.http_endpoint).advice


def test_an_address_with_nobody_and_a_name_of_no_host(send: Send) -> None:
    for protocol in ("http", "grpc"):
        for endpoint, advice in (
            ("http://127.0.0.1:1", "nothing listens at this address; to send nothing, set OTEL_TRACES_EXPORTER"),
            ("http://nobody.invalid:4317", "there is no host of this name"),
        ):
            result = send(protocol, endpoint)
            assert result.unreachable
            assert result.advice.startswith(advice), protocol


def test_a_connection_that_breaks_has_no_advice(send: Send, fake_collector: FakeCollector) -> None:
    fake_collector.script.append(Reply(reset=True))
    result = send("http", fake_collector.http_endpoint)
    assert (result.unreachable, result.advice) == (False, "")


def test_the_log_has_the_advice(
    monkeypatch: pytest.MonkeyPatch, fake_collector: FakeCollector, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(guard, "_last_logged", {})
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", fake_collector.grpc_endpoint)
    queue = ExportQueue("spans", lambda batch: b"", HttpDestination("traces"), QueueOptions(100, 1, 0.01))
    with caplog.at_level(logging.WARNING, "otelflask"):
        queue.append(object())
        queue.flush(2.0)
        queue.begin_close(0.0)
        queue.join(0.0)
    assert "set OTEL_EXPORTER_OTLP_PROTOCOL=grpc" in caplog.text
