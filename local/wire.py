"""Speak HTTP/1.1 with kept-alive connections, one thread each, to a WSGI application."""

from __future__ import annotations

import errno
import io
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import IO, Any
from urllib.parse import unquote_to_bytes
from xml.sax.saxutils import escape  # writes only

Environ = dict[str, Any]
Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]

# moto reports the spelling of S3 metadata keys, which WSGI's names lose, from this entry.
_SPELLING = "moto.preserved_header_names"
_JOIN_BELOW = 256 * 1024  # a body below it leaves in one packet train with its head
_BODILESS = ("204", "304")

log = logging.getLogger(__name__)


class Dropped(ConnectionError):
    """What an application raises to close the connection without an answer."""


class Listener:
    """Accept connections on the loopback addresses of one port and answer them with an application."""

    def __init__(self, port: int, application: Application) -> None:
        self._application = application
        self._sockets = _bound(port)
        self.port: int = self._sockets[0].getsockname()[1]

    def start(self) -> None:
        """Begin to accept, in the background."""
        for listening in self._sockets:
            threading.Thread(target=self._accept, args=(listening,), name="accept", daemon=True).start()

    def close(self) -> None:
        """Accept nothing more."""
        for listening in self._sockets:
            listening.close()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return  # closed
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._converse, args=(connection,), name="request", daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader:
            try:
                while (environ := _read(reader, connection, self.port)) is not None:
                    if not _answer(self._application, environ, connection):
                        return
            except (ConnectionError, TimeoutError, ValueError) as dropped:
                log.debug("connection dropped: %s", dropped)


def _bound(port: int) -> list[socket.socket]:
    first = socket.create_server(("127.0.0.1", port), backlog=1024)
    listening = [first]
    try:
        # `localhost` is ::1 first on some machines, and not every client tries the second address.
        listening.append(socket.create_server(("::1", first.getsockname()[1]), family=socket.AF_INET6, backlog=1024))
    except OSError as missing:
        log.info("no IPv6 loopback: %s", missing)
    return listening


def _read(reader: IO[bytes], connection: socket.socket, port: int) -> Environ | None:
    line = reader.readline(1 << 16)
    if not line.strip():
        return None
    method, target, version = line.decode("latin-1").split()
    environ = _environ(method, target, version, port)
    _read_headers(reader, environ)
    if environ.get("HTTP_EXPECT", "").lower() == "100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = _body(reader, environ)
    environ["wsgi.input"] = io.BytesIO(body)
    return environ


def _environ(method: str, target: str, version: str, port: int) -> Environ:
    if target.startswith("http://"):
        target = "/" + target.removeprefix("http://").partition("/")[2]
    path, _, query = target.partition("?")
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": target,
        "REQUEST_URI": target,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": version,
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }


def _read_headers(reader: IO[bytes], environ: Environ) -> None:
    spelling: dict[str, str] = {}
    while (line := reader.readline(1 << 16)) not in (b"\r\n", b"\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        key = name.strip().upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        if "_" in name:
            if not name.lower().startswith("x-amz-meta-"):
                continue  # WSGI cannot tell it from its dashed name
            spelling[key] = name
        value = value.strip()
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    environ[_SPELLING] = spelling


def _body(reader: IO[bytes], environ: Environ) -> bytes:
    if "chunked" in environ.pop("HTTP_TRANSFER_ENCODING", "").lower():
        body = b"".join(_chunks(reader))
        environ["CONTENT_LENGTH"] = str(len(body))
        return body
    size = int(environ.get("CONTENT_LENGTH") or 0)
    body = reader.read(size) if size else b""
    if len(body) < size:
        raise ConnectionError(f"the body ended after {len(body)} of {size} bytes")
    return body


def _chunks(reader: IO[bytes]) -> Iterable[bytes]:
    while size := int(reader.readline().split(b";")[0], 16):
        yield reader.read(size)
        reader.readline()
    while reader.readline().strip():
        pass  # trailers


def _answer(application: Application, environ: Environ, connection: socket.socket) -> bool:
    """Send the answer; say whether the connection stays open."""
    status, headers, body = _run(application, environ)
    without_body = environ["REQUEST_METHOD"] == "HEAD" or status[:3] in _BODILESS
    if not any(name.lower() == "content-length" for name, _ in headers) and status[:3] not in _BODILESS:
        headers.append(("Content-Length", str(len(body))))
    keep = bool(environ["SERVER_PROTOCOL"] == "HTTP/1.1" and environ.get("HTTP_CONNECTION", "").lower() != "close")
    headers.append(("Connection", "keep-alive" if keep else "close"))
    head = f"HTTP/1.1 {status}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers) + "\r\n"
    _send(connection, head.encode("latin-1"), b"" if without_body else body)
    return keep


def _send(connection: socket.socket, head: bytes, body: bytes) -> None:
    if len(body) < _JOIN_BELOW:
        connection.sendall(head + body)
        return
    connection.sendall(head)
    connection.sendall(body)


def _run(application: Application, environ: Environ) -> tuple[str, list[tuple[str, str]], bytes]:
    began: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
        began[:] = [status, list(headers)]

    try:
        answer = application(environ, start_response)
        body = b"".join(answer)
        if hasattr(answer, "close"):
            answer.close()
    except Dropped:
        raise
    except Exception as failure:  # a fault in one request must answer that request, not end the connection
        return _fault(environ, failure)
    return began[0], began[1], body


def _fault(environ: Environ, failure: Exception) -> tuple[str, list[tuple[str, str]], bytes]:
    log.exception("%s %s failed", environ["REQUEST_METHOD"], environ["RAW_URI"])
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    reason = f"{type(failure).__name__}: {failure}"
    if isinstance(failure, OSError) and failure.errno == errno.ENOSPC:
        status = HTTPStatus.INSUFFICIENT_STORAGE
        reason = "the laptop cloud's disk is full: free space, or start it with --state on a larger disk"
        print(f"local: {reason}", file=sys.stderr, flush=True)
    elif isinstance(failure, NotImplementedError):
        status = HTTPStatus.NOT_IMPLEMENTED
        reason = f"the laptop cloud does not do this call: {failure}"
    kind, body = _worded(environ, status.phrase.replace(" ", ""), reason)
    return f"{status.value} {status.phrase}", [("Content-Type", kind)], body.encode()


def _worded(environ: Environ, code: str, reason: str) -> tuple[str, str]:
    """Write a fault where clients look for it: S3's drop what is no XML, the others show what they cannot read."""
    if "/s3/" not in environ.get("HTTP_AUTHORIZATION", ""):
        return "text/plain", reason
    return "application/xml", f"<Error><Code>{code}</Code><Message>{escape(reason)}</Message></Error>"
