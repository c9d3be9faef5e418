"""The server as a client and as a person at the terminal meet it."""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local import processes, routes
from local.cloud import Cloud
from local.wire import Listener


def start(port: int, state: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "local", "--port", str(port), "--state", str(state)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def echo(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("X-Path", environ["PATH_INFO"])])
    return [environ["wsgi.input"].read()]


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def listener() -> Iterator[Listener]:
    listener = Listener(0, echo)
    listener.start()
    yield listener
    listener.close()


@pytest.mark.slow
def test_it_says_that_it_is_ready_and_ends_when_told(unused_port: int, tmp_path: Path) -> None:
    server = start(unused_port, tmp_path)
    assert server.stdout is not None

    assert server.stdout.readline() == f"laptop cloud ready at http://localhost:{unused_port} (state in {tmp_path})\n"
    server.send_signal(signal.SIGTERM)
    assert server.communicate(timeout=120) == ("", "")
    assert server.returncode == 0


@pytest.mark.slow
def test_a_port_in_use_is_one_line_and_code_2(cloud: Cloud, tmp_path: Path) -> None:
    server = start(cloud.port, tmp_path)
    _, said = server.communicate(timeout=120)

    assert server.returncode == 2
    assert said == f"local: port {cloud.port} is in use: end what holds it, or pass --port\n"


@pytest.mark.slow
def test_a_port_that_is_none_is_refused_by_its_value() -> None:
    command = [sys.executable, "-m", "local", "--port=-5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("'-5' is no port: write a whole number from 1 to 65535")


def test_ending_a_child_ends_its_children_too(tmp_path: Path) -> None:
    grandchild = tmp_path / "pid"
    child = processes.start(["sh", "-c", f"sleep 60 & echo $! > {grandchild}; wait"])
    while not grandchild.exists() or not grandchild.read_text().strip():
        time.sleep(0.01)
    processes.end(child)

    assert child.poll() is not None
    with pytest.raises(ProcessLookupError):
        _await_end(int(grandchild.read_text()))


def _await_end(pid: int) -> None:
    for _ in range(6_000):
        os.kill(pid, 0)
        if Path(f"/proc/{pid}/stat").exists() and " Z " in Path(f"/proc/{pid}/stat").read_text():
            raise ProcessLookupError  # ended; nobody has asked for its code yet
        time.sleep(0.01)


def test_a_connection_serves_many_requests(listener: Listener) -> None:
    client = http.client.HTTPConnection("127.0.0.1", listener.port)
    client.connect()
    opened = client.sock
    for number in range(3):
        client.request("PUT", f"/{number}", body=bytes([number]) * 100)
        assert client.getresponse().read() == bytes([number]) * 100

    assert client.sock is opened


def test_a_chunked_body_arrives_whole(listener: Listener) -> None:
    client = http.client.HTTPConnection("127.0.0.1", listener.port)
    client.request("PUT", "/", body=iter([b"one", b"two" * 100_000]), encode_chunked=True)

    assert client.getresponse().read() == b"one" + b"two" * 100_000


def test_a_path_is_decoded_once(listener: Listener) -> None:
    client = http.client.HTTPConnection("127.0.0.1", listener.port)
    client.request("GET", "/a%2520b")

    assert client.getresponse().getheader("X-Path") == "/a%20b"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def write(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        Path("/dev/full").write_bytes(b"x")
        return []

    listener = Listener(0, write)
    listener.start()
    client = http.client.HTTPConnection("127.0.0.1", listener.port)
    client.request("GET", "/")
    answer = client.getresponse()
    listener.close()

    assert answer.status == 507
    assert b"disk is full: free space" in answer.read()
    assert capsys.readouterr().err.count("\n") == 1


SMALL_DISK = """
import os, sys
from local import server
from local.__main__ import main

server.LEAST_FREE_BYTES = int(sys.argv.pop())
code = main()
os._exit(code)
"""


def start_on_a_small_disk(port: int, disk: Path, least: int) -> subprocess.Popen[str]:
    """Start a cloud whose state is on a disk of 6 MB, which goes with the process."""
    inner = [sys.executable, "-c", SMALL_DISK, "--port", str(port), "--state", str(disk), str(least)]
    command = ["unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size=6m tmpfs {disk} && exec "$@"', "sh", *inner]
    if (
        not shutil.which("unshare")
        or subprocess.run([*command[:2], "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("this system gives no disk of one's own (unshare -rm)")
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_disk_that_fills_is_told_to_the_client_and_in_one_line_and_the_rest_goes_on(
    unused_port: int, tmp_path: Path
) -> None:
    server = start_on_a_small_disk(unused_port, tmp_path, least=0)
    assert server.stdout is not None
    server.stdout.readline()
    s3 = Cloud(unused_port, tmp_path).client("s3")
    s3.create_bucket(Bucket="any-bucket")

    with pytest.raises(ClientError, match="the laptop cloud's disk is full: free space"):
        s3.put_object(Bucket="any-bucket", Key="too-large", Body=bytes(9 << 20))
    s3.put_object(Bucket="any-bucket", Key="fits", Body=bytes(4 << 20))
    found = [held["Key"] for held in s3.list_objects_v2(Bucket="any-bucket")["Contents"]]
    server.terminate()
    _, said = server.communicate(timeout=120)

    assert found == ["fits"]
    assert said == "local: the laptop cloud's disk is full: free space, or start it with --state on a larger disk\n"


@pytest.mark.slow
def test_a_disk_with_too_little_left_is_one_line_and_code_2(unused_port: int, tmp_path: Path) -> None:
    server = start_on_a_small_disk(unused_port, tmp_path, least=1 << 30)
    _, said = server.communicate(timeout=120)

    assert (server.returncode, said) == (
        2,
        f"local: the disk of {tmp_path} has 6 MB free: free 1 GB, or pass --state on another disk\n",
    )


def test_a_call_that_is_not_done_is_refused_by_name(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match=r"does not do this call: .*create_studio"):
        cloud.client("emr").create_studio(
            Name="s",
            AuthMode="IAM",
            VpcId="v",
            SubnetIds=["s"],
            ServiceRole="r",
            WorkspaceSecurityGroupId="g",
            EngineSecurityGroupId="g",
            DefaultS3Location="s3://b",
        )


def test_a_claimed_request_goes_to_its_application(cloud: Cloud) -> None:
    routes.claim(lambda environ: environ.get("HTTP_HOST", "").startswith("claimed."), echo)
    client = http.client.HTTPConnection("127.0.0.1", cloud.port)
    client.request("POST", "/", body=b"mine", headers={"Host": "claimed.localhost"})

    assert client.getresponse().read() == b"mine"


def test_a_web_page_is_refused(cloud: Cloud) -> None:
    client = http.client.HTTPConnection("127.0.0.1", cloud.port)
    signed = cloud.client("s3").generate_presigned_url("list_buckets")
    client.request("GET", signed.removeprefix(cloud.endpoint), headers={"Origin": "https://elsewhere.example"})
    answer = client.getresponse()

    assert (answer.status, answer.getheader("Access-Control-Allow-Origin")) == (403, None)
