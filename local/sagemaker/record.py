"""Keep one job's description, as the API gives it and as moto's own listings read it."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(timezone.utc)


class JobRecord:
    """A job of `kind` (Training, Processing, Transform): what Describe…Job answers, changed as the job goes on."""

    def __init__(self, kind: str, arn: str, request: dict[str, Any], **begun: Any) -> None:
        self.kind, self.arn = kind, arn
        self.tags: list[dict[str, str]] = request.get("Tags") or []
        self.description = {name: value for name, value in request.items() if name != "Tags"}
        self.become("InProgress", CreationTime=now(), **{f"{kind}JobArn": arn}, **begun)

    def become(self, status: str, **changes: Any) -> None:
        """Move to a status, with further changes to the description; None takes a member away."""
        merged = {**self.description, f"{self.kind}JobStatus": status, "LastModifiedTime": now(), **changes}
        self.description = {name: value for name, value in merged.items() if value is not None}

    @property
    def status(self) -> str:
        """Where the job is: InProgress, Completed, Failed, Stopping or Stopped."""
        return str(self.description[f"{self.kind}JobStatus"])

    @property
    def response_object(self) -> dict[str, Any]:
        """What Describe…Job answers; moto asks for it by this name."""
        return self.description

    def __getattr__(self, name: str) -> Any:
        # moto's listings read training_job_name where the description says TrainingJobName.
        if name.startswith("_") or name == "description":
            raise AttributeError(name)
        return self.description.get("".join(word.title() for word in name.split("_")))
