"""Serve one model as the scikit-learn container does: the program of an endpoint's process.

It reads its locations from the container's variables: SAGEMAKER_PROGRAM, SAGEMAKER_SUBMIT_DIRECTORY and SM_MODEL_DIR.
The user's program may define model_fn, input_fn, predict_fn, output_fn and transform_fn; the rest are the container's
own (sagemaker-scikit-learn-container's serving.py). Run as a file, so that nothing of ours is on the model's path.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy

JSON, CSV, NPY = "application/json", "text/csv", "application/x-npy"
OK, UNSUPPORTED, FAILED, UNAVAILABLE, UNKNOWN = 200, 415, 500, 503, 404


class UnsupportedFormat(Exception):
    """The model was asked to read or write a format that it does not know."""


def default_input_fn(body: bytes, content_type: str) -> Any:
    """Decode JSON, CSV or NPY into an array."""
    if content_type == JSON:
        return numpy.array(json.loads(body)).astype(numpy.float32)
    if content_type == CSV:
        return numpy.genfromtxt(io.StringIO(body.decode()), dtype=numpy.float32, delimiter=",")
    if content_type == NPY:
        return numpy.load(io.BytesIO(body), allow_pickle=False)
    raise UnsupportedFormat(f"Content type {content_type} is not supported by this framework.")


def default_predict_fn(data: Any, model: Any) -> Any:
    """Ask the model."""
    return model.predict(data)


def default_output_fn(prediction: Any, accept: str) -> tuple[bytes, str]:
    """Encode an array as JSON, CSV or NPY."""
    array = numpy.asarray(prediction)
    if accept == JSON:
        return json.dumps(array.tolist()).encode(), accept
    if accept == CSV:
        text = io.StringIO()
        numpy.savetxt(text, array, delimiter=",", fmt="%s")
        return text.getvalue().encode(), accept
    if accept == NPY:
        binary = io.BytesIO()
        numpy.save(binary, array)
        return binary.getvalue(), accept
    raise UnsupportedFormat(f"Accept type {accept} is not supported by this framework.")


class Service:
    """A loaded model and the functions around it."""

    def __init__(self, program: Any, model_folder: str) -> None:
        if not hasattr(program, "model_fn"):
            raise NotImplementedError(f"Please provide a model_fn implementation in {program.__name__}.")
        self.model = program.model_fn(model_folder)
        self._transform: Callable[[Any, bytes, str, str], Any] = getattr(program, "transform_fn", self._in_three)
        self._input = getattr(program, "input_fn", default_input_fn)
        self._predict = getattr(program, "predict_fn", default_predict_fn)
        self._output = getattr(program, "output_fn", default_output_fn)

    def answer(self, body: bytes, content_type: str, accept: str) -> tuple[bytes, str]:
        """Return the prediction for a request's body, and its content type."""
        # The toolkit hands text to the program's own functions, and bytes where the type is binary.
        given: Any = body if content_type == NPY or self._input is default_input_fn else _text(body)
        result = self._transform(self.model, given, content_type, accept)
        answered, kind = result if isinstance(result, tuple) else (result, accept)
        return answered if isinstance(answered, bytes) else str(answered).encode(), kind

    def _in_three(self, model: Any, body: Any, content_type: str, accept: str) -> Any:
        return self._output(self._predict(self._input(body, content_type), model), accept)


def _text(body: bytes) -> str | bytes:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body


class Handler(BaseHTTPRequestHandler):
    """Answer /ping and /invocations over connections that stay open."""

    protocol_version = "HTTP/1.1"
    service: Service

    def setup(self) -> None:
        """Send small answers at once."""
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_GET(self) -> None:
        """Answer the health check."""
        self._reply(OK if self.path == "/ping" else UNKNOWN, b"", JSON)

    def do_POST(self) -> None:
        """Answer one request for a prediction."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        content_type = self.headers.get("Content-Type") or JSON
        accept = self.headers.get("Accept") or "*/*"
        accept = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", JSON) if accept == "*/*" else accept
        try:
            answered, kind = self.service.answer(body, content_type, accept)
        except UnsupportedFormat as failure:
            self._reply(UNSUPPORTED, str(failure).encode(), "text/plain")
        except Exception as failure:  # a program's own error is the container's answer 500
            traceback.print_exc()
            self._reply(FAILED, f"{type(failure).__name__}: {failure}".encode(), "text/plain")
        else:
            self._reply(OK, answered, kind)

    def _reply(self, status: int, body: bytes, kind: str) -> None:
        head = f"HTTP/1.1 {status} \r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.wfile.write(head.encode("latin-1") + body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing of requests that go well: the container logs them, at a cost of a third of the latency."""


def main() -> None:
    """Load the model, then print the port and serve until the parent goes away."""
    code = os.environ["SAGEMAKER_SUBMIT_DIRECTORY"]
    sys.path[0] = code
    program = importlib.import_module(Path(os.environ["SAGEMAKER_PROGRAM"]).stem)
    Handler.service = Service(program, os.environ["SM_MODEL_DIR"])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    print(f"serving on {server.server_address[1]}", flush=True)
    server.serve_forever()


def _end_with_parent() -> None:
    sys.stdin.buffer.read()  # the parent never writes: this returns when it is gone
    os._exit(0)


if __name__ == "__main__":
    main()
