"""Privacy: who may look at what is published, undo a token, or have a person removed."""

from __future__ import annotations

from aws_cdk import Duration, Environment, Stack
from aws_cdk import aws_iam as iam
from constructs import Construct

from domain.privacy.anonymize.declaration import check as check_publications
from domain.privacy.release.declaration import check
from domain.publications import PUBLICATIONS
from domain.releases import RELEASES
from lambdas.privacy.settings import DetokenizeSettings
from stacks import names
from stacks.arns import arn, colon_arn, function_arn
from stacks.config import ON, Config
from stacks.constructs.erasure import Erasure, allow
from stacks.constructs.function import Function
from stacks.constructs.grants import grant_files, grant_key
from stacks.constructs.layer import Layer
from stacks.constructs.masked_views import MaskedViews
from stacks.constructs.nag import accept_wildcards
from stacks.constructs.protection import grant_keys, key_settings
from stacks.jobs import ANONYMIZE, RELEASE
from stacks.lake import LakeStack

RESULTS = ("StartQueryExecution", "StopQueryExecution", "GetQueryExecution", "GetQueryResults")


class PrivacyStack(Stack):
    """Give each of three duties a role of its own, so that nobody who looks at data can undo what protects it."""

    def __init__(self, scope: Construct, id: str, *, env: Environment, lake: LakeStack, config: Config) -> None:
        super().__init__(scope, id, env=env, description="Rivermill: tokens, removal, and what may be published")
        check(RELEASES.values())
        check_publications(PUBLICATIONS.values())
        self.lake, self.config = lake, config
        self.analyst, self.steward, self.eraser = (self._role(name) for name in names.DUTIES)
        self._analyst()
        if config.masking == ON:
            MaskedViews(self, "Views", analyst=self.analyst)
        self._steward()
        self._eraser()
        self.erasure = Erasure(self, "Erasure", lake=lake, config=config)

    def _role(self, name: str) -> iam.Role:
        id = name.removeprefix("rivermill-").title()
        # Who of the account may take on a duty is said where its people are, and never here.
        return iam.Role(self, id, role_name=name, assumed_by=iam.AccountPrincipal(self.account))

    def _analyst(self) -> None:
        """Ask what was anonymized or released, and nothing that names a person."""
        bucket, role = self.lake.bucket, self.analyst
        places = ["published/", "athena/"]
        grant_files(role, bucket, reads=places, writes=["athena/"], lists=places)
        grant_key(role, self.lake.key)
        allow(role, [f"athena:{verb}" for verb in RESULTS], arn(self, "athena", "workgroup", names.WORKGROUP))
        allow(role, ["s3:GetBucketLocation"], bucket.bucket_arn)  # Athena asks it of where results go
        # What these tell is bounded by a budget and by what is declared, whoever asks.
        for job in (RELEASE, ANONYMIZE):
            allow(role, ["glue:StartJobRun", "glue:GetJobRun", "glue:GetJob"], arn(self, "glue", "job", job.name))
        allow(role, ["dynamodb:GetItem"], self.lake.budgets.table_arn)

    def _steward(self) -> None:
        """Undo a token, for a purpose that is written down."""
        allow(self.steward, ["lambda:InvokeFunction"], function_arn(self, names.DETOKENIZE))
        detokenize = Function(
            self,
            "Detokenize",
            name=names.DETOKENIZE,
            module="privacy.detokenize",
            settings=DetokenizeSettings(**key_settings(self.lake)),
            config=self.config,
            layers=[Layer(self, "Arrow", name="arrow"), Layer(self, "Keys", name="privacy")],
            timeout=Duration.seconds(30),
            memory_mb=1024,
            reserved_concurrency=1,  # people ask it, not programs
        )
        grant_keys(detokenize.role, self.lake)

    def _eraser(self) -> None:
        """Ask for a person's removal, follow it, and read the certificate."""
        role = self.eraser
        allow(role, ["lambda:InvokeFunction"], function_arn(self, names.ERASURE_REQUEST))
        runs = colon_arn(self, "states", "execution", f"{names.ERASE}:*")
        allow(role, ["states:DescribeExecution"], runs)
        accept_wildcards(role, "Executions are named as they are started.", runs)
        grant_files(role, self.lake.bucket, reads=["certificates/"])
        grant_key(role, self.lake.key)
        allow(role, ["kms:GetPublicKey"], self.lake.certificates.key_arn)
