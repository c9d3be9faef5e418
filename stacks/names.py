"""The names that people type, and that stacks use to find each other without importing."""

from __future__ import annotations

STREAM = "rivermill-events"
KAFKA = "rivermill"
NOTICES = "rivermill-notices"
FAILED_BATCHES = "rivermill-failed-batches"
DECISIONS = "rivermill-decisions"
BANDITS = "rivermill-bandits"
ERASURES = "rivermill-erasures"
SUBJECTS = "rivermill-subjects"
KEYS = "rivermill-keys"

CONSUME = "rivermill-consume"
COMMIT = "rivermill-commit"
SWEEP = "rivermill-sweep"
REDRIVE = "rivermill-redrive"
REPLAY = "rivermill-replay"
CONSERVE = "rivermill-conserve"
SCALE = "rivermill-scale"
COLLECT = "rivermill-collect"
ADMIT = "rivermill-admit"
BRIDGE = "rivermill-bridge"
WIDEN = "rivermill-widen"
PLAN = "rivermill-plan"
REGISTER = "rivermill-register"
DEPLOY = "rivermill-deploy"
PREDICT = "rivermill-predict"
START = "rivermill-start"
DECIDE = "rivermill-decide"
LEARN = "rivermill-learn"
REPORT = "rivermill-report"
DETOKENIZE = "rivermill-detokenize"
ERASURE_REQUEST = "rivermill-erasure-request"
ERASURE = "rivermill-erasure"
FUNCTIONS = (
    CONSUME,
    COMMIT,
    SWEEP,
    REDRIVE,
    REPLAY,
    CONSERVE,
    SCALE,
    COLLECT,
    ADMIT,
    BRIDGE,
    WIDEN,
    START,
    PLAN,
    REGISTER,
    DEPLOY,
    PREDICT,
    DECIDE,
    LEARN,
    REPORT,
    ERASURE_REQUEST,
    ERASURE,
    DETOKENIZE,
)

DAILY = "rivermill-daily"
ERASE = "rivermill-erase"
DUTIES = ("rivermill-analyst", "rivermill-steward", "rivermill-eraser")
CERTIFICATES = "alias/rivermill-certificates"
PRIVACY = "alias/rivermill-privacy"
PROPENSITY = "rivermill-propensity"
VARIANT = "main"
TOPIC_LAG = "rivermill-topic-lag"
CONSUME_ERRORS = "rivermill-consume-errors"
ENDPOINT_ERRORS = "rivermill-endpoint-errors"
ENDPOINT_LATENCY = "rivermill-endpoint-latency"
ENDPOINT_ALARMS = (ENDPOINT_ERRORS, ENDPOINT_LATENCY)  # a new model that rings one is taken back
TRAINING_ROLE = "rivermill-training"
ENDPOINT_ROLE = "rivermill-endpoint"
WORKGROUP = "rivermill"
DASHBOARD = "rivermill"
BUDGET = "rivermill"
FRONT = "rivermill-front"
