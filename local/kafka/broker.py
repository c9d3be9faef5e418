"""Run a real Apache Kafka broker in KRaft mode: one process, on the loopback, without a password."""

from __future__ import annotations

import base64
import functools
import hashlib
import os
import shutil
import socket
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from local import processes, spark
from local.kafka import jars

HEAP_MEGABYTES = 384
START_SECONDS = 180.0
END_SECONDS = 20.0
LOOK_SECONDS = 0.05

# Start-up is most of what a short life takes: the first compiler alone, and classes parsed once for this machine
# (4.4 s without, 1.8 s with; measured on 4 shared cores).
_OPTIONS = ("-Xms64m", f"-Xmx{HEAP_MEGABYTES}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_LOGGING = ("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true")
_QUIET = ("-Xshare:auto", "-Xlog:cds=off", "-Xlog:cds+dynamic=off")

# Kafka documentation, "Broker Configs".  One broker holds every replica, whatever a cluster asks for.
_SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
controlled.shutdown.enable=false
{own}
"""


class MissingBroker(Exception):
    """The broker cannot start; the message says what is missing and what to do, in one line."""


@dataclass(frozen=True, slots=True)
class Broker:
    """A running broker: where clients find it, its folder and its process."""

    bootstrap: str
    folder: Path
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """End the broker in order."""
        processes.end(self.process, END_SECONDS)

    @property
    def is_alive(self) -> bool:
        """It serves."""
        return self.process.poll() is None


def start(folder: Path, settings: dict[str, str] | None = None, port: int = 0) -> Broker:
    """Start a broker that keeps its data under `folder`, and wait until it serves. Raises `MissingBroker`.

    `settings` are server properties of a cluster's configuration; port 0 is any free one.
    """
    archive = _archive()
    return _start(folder, settings or {}, port, (f"-XX:SharedArchiveFile={archive}", *_QUIET))


def _start(folder: Path, settings: dict[str, str], port: int, options: tuple[str, ...]) -> Broker:
    ports = _free_ports(2)
    port = port or ports[0]
    _lay_out(folder, settings, port, ports[1])
    with (folder / "broker.log").open("ab") as log:
        process = processes.start(
            [str(_java()), *_OPTIONS, *_LOGGING, *options, "-cp", _class_path(), "kafka.Kafka", "server.properties"],
            cwd=folder,
            env={**os.environ, "LC_ALL": "C.UTF-8"},  # else Java cannot read a path with an umlaut
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    broker = Broker(f"127.0.0.1:{port}", folder, process)
    _await(broker)
    return broker


def _lay_out(folder: Path, settings: dict[str, str], port: int, controller: int) -> None:
    """Write what the broker reads, and format its storage as `kafka-storage format` does, without a JVM's start."""
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    own = "\n".join(f"{name}={value}" for name, value in settings.items())
    # A path from its own folder: Java reads properties as Latin-1.
    text = _SETTINGS.format(port=port, controller=controller, data=data.name, own=own)
    (folder / "server.properties").write_text(text, encoding="utf-8")
    if not (data / "meta.properties").exists():
        identity = f"version=1\nnode.id=1\ncluster.id={_random_id()}\ndirectory.id={_random_id()}\n"
        (data / "meta.properties").write_text(identity, encoding="utf-8")


def _random_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")


def _await(broker: Broker) -> None:
    """Wait until the broker answers a client."""
    end = time.monotonic() + START_SECONDS
    while not _listens(broker.bootstrap):
        if not broker.is_alive or time.monotonic() > end:
            broker.stop()
            said = (broker.folder / "broker.log").read_text(errors="replace").strip().splitlines()
            raise MissingBroker(f"Kafka did not start: {' '.join(said[-1:]) or 'it said nothing'}; see {broker.folder}")
        time.sleep(LOOK_SECONDS)
    try:
        AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=START_SECONDS)
    except KafkaException as failure:
        broker.stop()
        raise MissingBroker(f"Kafka started, but does not answer ({failure}); see {broker.folder}") from failure


def _listens(bootstrap: str) -> bool:
    host, _, port = bootstrap.partition(":")
    with socket.socket() as attempt:
        return attempt.connect_ex((host, int(port))) == 0


def _java() -> Path:
    try:
        return spark.java()
    except spark.MissingEngine as missing:
        raise MissingBroker(str(missing).replace("Spark needs", "Kafka needs")) from missing


def _class_path() -> str:
    try:
        return os.pathsep.join(map(str, jars.jars()))
    except jars.MissingJar as missing:
        raise MissingBroker(str(missing)) from missing


@functools.cache
def _archive() -> Path:
    """Return the JVM's archive of the classes that a broker loads, made by a first broker where there is none."""
    version = subprocess.run([_java(), "-version"], capture_output=True, check=True).stderr
    target = jars.cache() / f"java-{hashlib.sha256(version).hexdigest()[:16]}.jsa"
    if not target.is_file():
        _class_path()
        folder = jars.cache() / f"first-{os.getpid()}"
        part = folder / "classes.jsa"
        first = _start(folder, {}, 0, (f"-XX:ArchiveClassesAtExit={part}", *_QUIET))
        first.stop()
        if not part.is_file():
            raise MissingBroker(f"Kafka's classes cannot be archived; see {folder}")
        part.replace(target)
        shutil.rmtree(folder, ignore_errors=True)
    return target


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    for each in held:
        each.bind(("127.0.0.1", 0))
    ports = [int(each.getsockname()[1]) for each in held]
    for each in held:
        each.close()
    return ports
