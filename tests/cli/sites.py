"""Servers of one answer, each in a thread: whatever they are asked, they say that."""

import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PAGE = b"<!doctype html><title>A page</title>"


def answer(status: str, body: bytes = b"", kind: str = "text/html") -> bytes:
    """An answer of HTTP after which the connection ends."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


@contextmanager
def site(said: bytes, tls: ssl.SSLContext | None = None) -> Generator[str]:
    """Serve at `127.0.0.1:PORT`, which it yields."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=_serve, args=(listening, said, tls))
        thread.start()
        try:
            yield f"127.0.0.1:{listening.getsockname()[1]}"
        finally:
            # Closing alone wakes nobody who accepts.
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def certified(folder: Path) -> tuple[ssl.SSLContext, str]:
    """A server's side of TLS for 127.0.0.1, and the file of its certificate, which nobody signed but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a site")])
    since = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(since + dt.timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    certificate, secret = folder / "cert.pem", folder / "key.pem"
    certificate.write_bytes(made.public_bytes(pem))
    secret.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, secret)
    return context, str(certificate)


def _serve(listening: socket.socket, said: bytes, tls: ssl.SSLContext | None) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection, suppress(OSError):  # A client that trusts no certificate goes away.
            _answer(connection if tls is None else tls.wrap_socket(connection, server_side=True), said)


def _answer(connection: socket.socket, said: bytes) -> None:
    with connection:
        heard = b""
        while b"\r\n\r\n" not in heard:
            piece = connection.recv(65_536)
            if not piece:
                return
            heard += piece
        connection.sendall(said)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65_536):  # A body that is closed on unread would reset the answer.
            pass
