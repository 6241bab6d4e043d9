"""The other sides of Alertmanager, with TLS: a server of the web and one for mail that note what they hear."""

from __future__ import annotations

import base64
import contextlib
import datetime
import http.server
import ipaddress
import json
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HOST = "127.0.0.1"
PATIENCE = 20.0
Answer = TypeVar("Answer")


def until(question: Callable[[], Answer], patience: float = PATIENCE) -> Answer:
    """Ask again until the answer is truthy, and give it; fails with the last one."""
    end = time.monotonic() + patience
    while not (answer := question()):
        assert time.monotonic() < end, f"still {answer!r} after {patience:.0f} s"
        time.sleep(0.05)
    return answer


def certificate(folder: Path) -> Path:
    """A file with a key and a certificate of its own for this machine. Who is to trust it reads the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "receivers")])
    now = datetime.datetime.now(datetime.UTC)
    addresses = [x509.IPAddress(ipaddress.ip_address(address)) for address in (HOST, "127.0.0.2")]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "receivers.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


def _context(path: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


@dataclass(frozen=True)
class Call:
    """One request: when it came (seconds), its path, its headers in small letters, its body from JSON."""

    at: float
    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class Web:
    """What came in, and where it listens."""

    port: int = 0
    calls: list[Call] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"https://{HOST}:{self.port}{path}"

    def at(self, path: str) -> list[Call]:
        return [call for call in self.calls if call.path == path]


@contextlib.contextmanager
def web(pem: Path) -> Iterator[Web]:
    """A server that says yes to whatever it is sent."""
    seen = Web()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            seen.calls.append(Call(time.monotonic(), self.path, headers, json.loads(content)))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            # Slack says so, and Alertmanager believes nothing else of it.
            self.wfile.write(b"ok")

        def log_message(self, *_words: Any) -> None:
            """Say nothing."""

    class Server(http.server.ThreadingHTTPServer):
        def get_request(self) -> tuple[Any, Any]:
            connection, address = self.socket.accept()
            # The handshake is up to the thread of the connection.
            return context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    context = _context(pem)
    with Server((HOST, 0), Handler) as server:
        seen.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield seen
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True)
class Letter:
    """One mail: how it came, who had logged in, to whom it is, and its text with the headers."""

    encrypted: bool
    login: tuple[str, str] | None
    recipients: list[str]
    content: bytes


@dataclass
class Mail:
    port: int = 0
    letters: list[Letter] = field(default_factory=list)


class _Conversation(socketserver.StreamRequestHandler):
    """As much SMTP as is needed for a login and a mail."""

    server: _MailServer

    def setup(self) -> None:
        self.encrypted = False
        if self.server.implicit:
            self._encrypt()
        super().setup()

    def _encrypt(self) -> None:
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        self.encrypted = True

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())

    def handle(self) -> None:
        login, recipients = None, []
        self._say("220 mail.test ready")
        while line := self.rfile.readline().decode().strip():
            verb, _, rest = line.partition(" ")
            match verb.upper():
                case "EHLO":
                    offers = ["AUTH PLAIN"] if self.encrypted else ["STARTTLS"] if self.server.offers_tls else []
                    words = ["mail.test", *offers]
                    for number, word in enumerate(words, 1):
                        self._say(f"250{' ' if number == len(words) else '-'}{word}")
                case "STARTTLS":
                    self._say("220 go ahead")
                    self._encrypt()
                    super().setup()
                case "AUTH":
                    _who, user, password = base64.b64decode(rest.split()[1]).decode().split("\0")
                    login = (user, password)
                    self._say("235 welcome")
                case "RCPT":
                    recipients.append(rest.partition(":")[2].strip("<>"))
                    self._say("250 ok")
                case "DATA":
                    self._say("354 go ahead")
                    content = b""
                    while (part := self.rfile.readline()) not in (b".\r\n", b""):
                        content += part
                    self.server.seen.letters.append(Letter(self.encrypted, login, recipients, content))
                    self._say("250 taken")
                case "QUIT":
                    self._say("221 bye")
                    return
                case _:
                    self._say("250 ok")


class _MailServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    context: ssl.SSLContext
    implicit = offers_tls = False
    seen: Mail

    def handle_error(self, *_words: Any) -> None:
        """A handshake that the other side broke off is what it has to tell."""


@contextlib.contextmanager
def mail(
    pem: Path, address: tuple[str, int] = (HOST, 0), *, implicit: bool = False, tls: bool = True
) -> Iterator[Mail]:
    """A mail server: `implicit` begins with TLS, `tls` offers it."""
    with _MailServer(address, _Conversation) as server:
        server.context, server.implicit, server.offers_tls = _context(pem), implicit, tls
        server.seen = Mail(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.seen
        finally:
            server.shutdown()
            thread.join()
