"""Give every MSK cluster a real broker on the loopback, and the calls about topics and bootstrap brokers an answer."""

from __future__ import annotations

import base64
import functools
import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewPartitions, NewTopic
from moto.kafka.models import FakeKafkaCluster, KafkaBackend, kafka_backends

from local import routes
from local.cloud import Cloud
from local.kafka import broker
from local.kafka.broker import Broker, MissingBroker

SECONDS = 30.0
_REPLICAS = "min.insync.replicas"  # of more than the one broker that there is

_PATH = re.compile(
    r"^/v1/clusters/(?P<cluster>arn:[^/]+/[^/]+/[^/]+)/"
    r"(?P<what>bootstrap-brokers|topics)(?:/(?P<topic>[^/]+))?$"
)

log = logging.getLogger(__name__)


class Refused(Exception):
    """AWS's refusal of a call: HTTP status, error code, message."""

    def __init__(self, status: HTTPStatus, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as MSK describes it."""

    name: str
    partitions: int
    replicas: int
    configs: dict[str, str]


class Clusters:
    """The clusters of the cloud and their brokers; a cluster is CREATING until its broker serves."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.backend: KafkaBackend = kafka_backends[cloud.account][cloud.region]
        self._brokers: dict[str, Broker] = {}
        self._failures: dict[str, str] = {}
        self._replicas: dict[tuple[str, str], int] = {}
        self._lock = threading.Lock()

    def begin(self, arn: str) -> None:
        """Start a new cluster's broker in the background."""
        threading.Thread(target=self._start, args=(arn,), name=f"kafka {arn}", daemon=True).start()

    def end(self, arn: str) -> None:
        """Stop a cluster's broker."""
        with self._lock:
            found = self._brokers.pop(arn, None)
        if found:
            found.stop()

    def failure(self, arn: str) -> str:
        """Say why a cluster has failed; nothing if it has not."""
        return self._failures.get(arn, "")

    def bootstrap(self, arn: str) -> str:
        """Return where clients find a cluster's broker. Raises `Refused`."""
        with self._lock:
            found = self._brokers.get(arn)
        if found:
            return found.bootstrap
        if arn not in self.backend.clusters:
            raise Refused(HTTPStatus.NOT_FOUND, "NotFoundException", f"The cluster {arn} does not exist.")
        message = f"The cluster is {self.backend.clusters[arn].state}. {self.failure(arn)}".strip()
        raise Refused(HTTPStatus.BAD_REQUEST, "BadRequestException", message)

    def create(self, arn: str, asked: dict[str, Any]) -> Topic:
        """Create a topic. Raises `Refused`."""
        name, replicas = asked["topicName"], int(asked["replicationFactor"])
        topic = Topic(name, int(asked["partitionCount"]), replicas, _configs(asked.get("configs")))
        new = NewTopic(name, topic.partitions, 1, config=_fit(topic.configs))
        self._settle(self._admin(arn).create_topics([new])[name])
        self._replicas[arn, name] = replicas
        return self._described(arn, name)

    def change(self, arn: str, name: str, asked: dict[str, Any]) -> Topic:
        """Give a topic more partitions or other settings. Raises `Refused`."""
        admin, wanted = self._admin(arn), asked.get("partitionCount")
        if wanted and int(wanted) != self.describe(arn, name).partitions:
            self._settle(admin.create_partitions([NewPartitions(name, int(wanted))])[name])
        entries = [
            ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
            for key, value in _fit(_configs(asked.get("configs"))).items()
        ]
        if entries:
            resource = ConfigResource(ResourceType.TOPIC, name, incremental_configs=entries)
            self._settle(admin.incremental_alter_configs([resource])[resource])
        return self.describe(arn, name)

    def delete(self, arn: str, name: str) -> Topic:
        """Delete a topic and its records. Raises `Refused`."""
        topic = self.describe(arn, name)
        self._settle(self._admin(arn).delete_topics([name])[name])
        return topic

    def describe(self, arn: str, name: str) -> Topic:
        """Describe a topic. Raises `Refused`."""
        found = self._admin(arn).list_topics(timeout=SECONDS).topics.get(name)
        if found is None:
            raise Refused(HTTPStatus.NOT_FOUND, "NotFoundException", f"The topic {name} does not exist.")
        resource = ConfigResource(ResourceType.TOPIC, name)
        entries = self._settle(self._admin(arn).describe_configs([resource])[resource])
        own = {key: str(entry.value) for key, entry in entries.items() if not entry.is_default}
        return Topic(name, len(found.partitions), self._replicas.get((arn, name), 1), own)

    def topics(self, arn: str) -> list[Topic]:
        """Describe every topic but the broker's own."""
        names = sorted(name for name in self._admin(arn).list_topics(timeout=SECONDS).topics if name[:2] != "__")
        return [self.describe(arn, name) for name in names]

    def _start(self, arn: str) -> None:
        cluster = self.backend.clusters[arn]
        try:
            started = broker.start(self._cloud.state / "kafka" / cluster.cluster_id)
        except MissingBroker as missing:
            self._failures[arn], cluster.state = str(missing), "FAILED"
            return
        except Exception:  # a thread that died would leave the cluster CREATING for ever
            log.exception("kafka %s", arn)
            self._failures[arn], cluster.state = "the broker could not be started; see the cloud's log", "FAILED"
            return
        with self._lock:
            self._brokers[arn] = started
        cluster.state = "ACTIVE"
        if arn not in self.backend.clusters:  # deleted meanwhile
            self.end(arn)

    def _described(self, arn: str, name: str) -> Topic:
        """Describe a topic that the broker's metadata may not know for a moment."""
        end = time.monotonic() + SECONDS
        while True:
            try:
                return self.describe(arn, name)
            except Refused:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def _admin(self, arn: str) -> AdminClient:
        return _admin(self.bootstrap(arn))

    def _settle(self, future: Any) -> Any:
        try:
            return future.result(SECONDS)
        except KafkaException as failure:
            error = failure.args[0]
            known = {
                "TOPIC_ALREADY_EXISTS": (HTTPStatus.CONFLICT, "TopicExistsException"),
                "UNKNOWN_TOPIC_OR_PART": (HTTPStatus.NOT_FOUND, "NotFoundException"),
            }
            status, code = known.get(error.name(), (HTTPStatus.BAD_REQUEST, "BadRequestException"))
            raise Refused(status, code, error.str()) from failure


@functools.cache
def _admin(bootstrap: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})


@functools.cache
def clusters(cloud: Cloud) -> Clusters:
    """Return the clusters of a cloud, the same object each time."""
    return Clusters(cloud)


def _configs(encoded: str | None) -> dict[str, str]:
    """Read a topic's settings: base64 of lines of key=value."""
    lines = base64.b64decode(encoded or "").decode().split("\n")
    pairs = (line.partition("=") for line in lines if line.strip() and not line.startswith("#"))
    return {key.strip(): value.strip() for key, _, value in pairs}


def _fit(configs: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in configs.items() if key != _REPLICAS}


def install(cloud: Cloud) -> None:
    """Start and stop brokers with moto's clusters, and answer what moto's Kafka does not."""
    held = clusters(cloud)
    _begin_with("create_cluster", held)
    _begin_with("create_cluster_v2", held)
    delete, describe = KafkaBackend.delete_cluster, KafkaBackend.describe_cluster_v2

    def deleted(self: Any, cluster_arn: str, current_version: str) -> tuple[str, str]:
        held.end(cluster_arn)
        arn, _ = delete(self, cluster_arn, current_version)
        return arn, "DELETING"

    def described(self: Any, cluster_arn: str) -> dict[str, Any]:
        information = describe(self, cluster_arn)
        failure = held.failure(cluster_arn)
        return {**information, "stateInfo": {"code": "BrokerFailed", "message": failure} if failure else {}}

    KafkaBackend.delete_cluster = deleted
    KafkaBackend.describe_cluster_v2 = described
    FakeKafkaCluster._generate_arn = _arn
    routes.claim(_is_ours, functools.partial(_answer, held))


def _begin_with(name: str, held: Clusters) -> None:
    create = getattr(KafkaBackend, name)

    def created(self: Any, *arguments: Any, **keywords: Any) -> Any:
        made = create(self, *arguments, **keywords)
        held.begin(made[0])
        return made

    setattr(KafkaBackend, name, created)


def _arn(cluster: FakeKafkaCluster) -> str:
    """Name a cluster as MSK does: with its own name before its identity."""
    kind = "1" if cluster.cluster_type == "PROVISIONED" else "s1"
    where = f"arn:aws:kafka:{cluster.region_name}:{cluster.account_id}"
    return f"{where}:cluster/{cluster.cluster_name}/{cluster.cluster_id}-{kind}"


def _is_ours(environ: routes.Environ) -> bool:
    signed = "/kafka/aws4_request" in environ.get("HTTP_AUTHORIZATION", "")
    return signed and _PATH.match(environ["PATH_INFO"]) is not None


def _answer(held: Clusters, environ: routes.Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
    found = _PATH.match(environ["PATH_INFO"])
    assert found  # _is_ours
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    try:
        status, answer = HTTPStatus.OK, _call(held, environ["REQUEST_METHOD"], found, json.loads(body or b"{}"))
        headers = []
    except Refused as refused:
        status, answer = refused.status, {"message": str(refused)}
        headers = [("X-Amzn-ErrorType", refused.code)]
    start_response(f"{status.value} {status.phrase}", [("Content-Type", "application/json"), *headers])
    return [json.dumps(answer).encode()]


def _call(held: Clusters, method: str, found: re.Match[str], asked: dict[str, Any]) -> dict[str, Any]:
    arn, name = found["cluster"], found["topic"]
    if found["what"] == "bootstrap-brokers":
        return _bootstrap(held.bootstrap(arn))
    calls: dict[tuple[str, bool], Callable[[], dict[str, Any]]] = {
        ("POST", False): lambda: _short(arn, held.create(arn, asked), "CREATING"),
        ("GET", False): lambda: {"topics": [_listed(arn, topic) for topic in held.topics(arn)]},
        ("GET", True): lambda: _full(arn, held.describe(arn, name)),
        ("PUT", True): lambda: _short(arn, held.change(arn, name, asked), "UPDATING"),
        ("DELETE", True): lambda: _short(arn, held.delete(arn, name), "DELETING"),
    }
    return calls[method, name is not None]()


def _bootstrap(address: str) -> dict[str, Any]:
    """Give the one address under the name of every way in: on the loopback there is neither TLS nor IAM."""
    names = ("bootstrapBrokerString", "bootstrapBrokerStringTls", "bootstrapBrokerStringSaslIam")
    return dict.fromkeys(names, address)


def _short(arn: str, topic: Topic, status: str) -> dict[str, Any]:
    return {"topicArn": _topic_arn(arn, topic.name), "topicName": topic.name, "status": status}


def _listed(arn: str, topic: Topic) -> dict[str, Any]:
    counts = {"partitionCount": topic.partitions, "replicationFactor": topic.replicas, "outOfSyncReplicaCount": 0}
    return {"topicArn": _topic_arn(arn, topic.name), "topicName": topic.name, **counts}


def _full(arn: str, topic: Topic) -> dict[str, Any]:
    configs = "".join(f"{key}={value}\n" for key, value in topic.configs.items())
    counts = {"partitionCount": topic.partitions, "replicationFactor": topic.replicas}
    return {**_short(arn, topic, "ACTIVE"), **counts, "configs": base64.b64encode(configs.encode()).decode()}


def _topic_arn(cluster: str, topic: str) -> str:
    return f"{cluster.replace(':cluster/', ':topic/')}/{topic}"
