"""S3, DynamoDB, KMS, ECR, SSM parameters and secrets."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Callable
from typing import Any

from local.cloudformation.kinds.kind import Kind, Made, Order, Properties


def _make_bucket(order: Order) -> Made:
    name = order.name("BucketName", 63, lower=True)
    order.call("s3", "create_bucket", Bucket=name)
    _configure_bucket(order, name, order.properties)
    return _bucket(order, name)


def _change_bucket(order: Order) -> Made:
    for removed in (set(order.before) - set(order.properties)) & set(_UNSET):
        order.call("s3", _UNSET[removed], Bucket=order.physical_id)
    _configure_bucket(order, order.physical_id, order.properties)
    return _bucket(order, order.physical_id)


def _bucket(order: Order, name: str) -> Made:
    host = f"{name}.s3.amazonaws.com"
    regional = f"{name}.s3.{order.cloud.region}.amazonaws.com"
    return Made(name, {"Arn": f"arn:aws:s3:::{name}", "DomainName": host, "RegionalDomainName": regional})


def _configure_bucket(order: Order, name: str, properties: Properties) -> None:
    for property, configuration in properties.items():
        if property in _BUCKET_CALLS:
            operation, argument, translate = _BUCKET_CALLS[property]
            order.call("s3", operation, Bucket=name, **{argument: translate(configuration)})
    if tags := order.tag_list():
        order.call("s3", "put_bucket_tagging", Bucket=name, Tagging={"TagSet": tags})


def _encryption(configuration: Properties) -> Properties:
    rules = [
        {
            "ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"],
            "BucketKeyEnabled": rule.get("BucketKeyEnabled", False),
        }
        for rule in configuration["ServerSideEncryptionConfiguration"]
    ]
    return {"Rules": rules}


def _logging(configuration: Properties) -> Properties:
    target = {"TargetBucket": configuration.get("DestinationBucketName"), "TargetPrefix": ""}
    return {"LoggingEnabled": {**target, "TargetPrefix": configuration.get("LogFilePrefix", "")}}


def _lifecycle(configuration: Properties) -> Properties:
    return {"Rules": [_lifecycle_rule(rule) for rule in configuration["Rules"]]}


def _lifecycle_rule(rule: Properties) -> Properties:
    tags = rule.get("TagFilters", [])
    kept: Properties = {key: rule[key] for key in ("Status", "AbortIncompleteMultipartUpload") if key in rule}
    prefix = rule.get("Prefix", "")
    made: Properties = {"Filter": {"And": {"Prefix": prefix, "Tags": tags}} if tags else {"Prefix": prefix}, **kept}
    if "Id" in rule:
        made["ID"] = rule["Id"]
    if expiry := _expiry(rule):
        made["Expiration"] = expiry
    if "NoncurrentVersionExpiration" in rule:
        made["NoncurrentVersionExpiration"] = rule["NoncurrentVersionExpiration"]
    elif "NoncurrentVersionExpirationInDays" in rule:
        made["NoncurrentVersionExpiration"] = {"NoncurrentDays": rule["NoncurrentVersionExpirationInDays"]}
    if moves := rule.get("Transitions", [rule["Transition"]] if "Transition" in rule else []):
        made["Transitions"] = [_transition(move, "Days") for move in moves]
    if moves := rule.get("NoncurrentVersionTransitions", []):
        made["NoncurrentVersionTransitions"] = [_transition(move, "NoncurrentDays") for move in moves]
    return made


def _expiry(rule: Properties) -> Properties:
    names = {
        "ExpirationInDays": "Days",
        "ExpirationDate": "Date",
        "ExpiredObjectDeleteMarker": "ExpiredObjectDeleteMarker",
    }
    return {names[key]: rule[key] for key in names if key in rule}


def _transition(move: Properties, days: str) -> Properties:
    made = {"StorageClass": move["StorageClass"]}
    if "TransitionInDays" in move:
        made[days] = move["TransitionInDays"]
    if "TransitionDate" in move:
        made["Date"] = move["TransitionDate"]
    return made


def _notifications(configuration: Properties) -> Properties:
    unknown = set(configuration) - {"EventBridgeConfiguration"}
    if unknown:
        raise NotImplementedError(f"NotificationConfiguration.{unknown.pop()}: use EventBridgeConfiguration")
    return {"EventBridgeConfiguration": {}}


def _cors(configuration: Properties) -> Properties:
    return {
        "CORSRules": [
            {key: rule[key] for key in rule if key not in ("Id", "MaxAge")} for rule in configuration["CorsRules"]
        ]
    }


def _same(configuration: Properties) -> Properties:
    return configuration


_BUCKET_CALLS: dict[str, tuple[str, str, Callable[[Properties], Properties]]] = {
    "VersioningConfiguration": ("put_bucket_versioning", "VersioningConfiguration", _same),
    "BucketEncryption": ("put_bucket_encryption", "ServerSideEncryptionConfiguration", _encryption),
    "PublicAccessBlockConfiguration": ("put_public_access_block", "PublicAccessBlockConfiguration", _same),
    "OwnershipControls": ("put_bucket_ownership_controls", "OwnershipControls", _same),
    "LifecycleConfiguration": ("put_bucket_lifecycle_configuration", "LifecycleConfiguration", _lifecycle),
    "NotificationConfiguration": ("put_bucket_notification_configuration", "NotificationConfiguration", _notifications),
    "CorsConfiguration": ("put_bucket_cors", "CORSConfiguration", _cors),
    "LoggingConfiguration": ("put_bucket_logging", "BucketLoggingStatus", _logging),
}
_UNSET = {
    "BucketEncryption": "delete_bucket_encryption",
    "PublicAccessBlockConfiguration": "delete_public_access_block",
    "OwnershipControls": "delete_bucket_ownership_controls",
    "LifecycleConfiguration": "delete_bucket_lifecycle",
    "CorsConfiguration": "delete_bucket_cors",
}


def _remove_bucket(order: Order) -> None:
    order.call("s3", "delete_bucket", Bucket=order.physical_id)


def _put_bucket_policy(order: Order) -> Made:
    bucket = order.properties["Bucket"]
    order.call("s3", "put_bucket_policy", Bucket=bucket, Policy=order.properties["PolicyDocument"])
    return Made(bucket)


def _remove_bucket_policy(order: Order) -> None:
    order.call("s3", "delete_bucket_policy", Bucket=order.physical_id)


def _make_key(order: Order) -> Made:
    properties = order.without(
        "KeyPolicy", "EnableKeyRotation", "Tags", "PendingWindowInDays", "Enabled", "RotationPeriodInDays"
    )
    tags = [{"TagKey": key, "TagValue": value} for key, value in order.tags().items()]
    key = order.call("kms", "create_key", **properties, Tags=tags)["KeyMetadata"]
    made = Made(key["KeyId"], {"Arn": key["Arn"], "KeyId": key["KeyId"]})
    _configure_key(order, key["KeyId"])
    return made


def _configure_key(order: Order, key: str) -> None:
    if policy := order.properties.get("KeyPolicy"):
        order.call("kms", "put_key_policy", KeyId=key, PolicyName="default", Policy=policy)
    rotated = str(order.properties.get("EnableKeyRotation", False)).lower() == "true"
    order.call("kms", "enable_key_rotation" if rotated else "disable_key_rotation", KeyId=key)


def _change_key(order: Order) -> Made:
    _configure_key(order, order.physical_id)
    return Made(order.physical_id, order.attributes)


def _remove_key(order: Order) -> None:
    days = order.properties.get("PendingWindowInDays", 30)
    order.call("kms", "schedule_key_deletion", KeyId=order.physical_id, PendingWindowInDays=days)


def _make_alias(order: Order) -> Made:
    order.call("kms", "create_alias", **order.properties)
    return Made(order.properties["AliasName"])


def _change_alias(order: Order) -> Made:
    order.call("kms", "update_alias", **order.properties)
    return Made(order.physical_id)


def _remove_alias(order: Order) -> None:
    order.call("kms", "delete_alias", AliasName=order.physical_id)


def _make_repository(order: Order) -> Made:
    name = order.name("RepositoryName", 200, lower=True)
    kept = {
        key: order.properties[key]
        for key in ("ImageTagMutability", "ImageScanningConfiguration")
        if key in order.properties
    }
    made = order.call("ecr", "create_repository", repositoryName=name, **kept)["repository"]
    return Made(name, {"Arn": made["repositoryArn"], "RepositoryUri": made["repositoryUri"]})


def _change_repository(order: Order) -> Made:
    return Made(order.physical_id, order.attributes)


def _remove_repository(order: Order) -> None:
    order.call("ecr", "delete_repository", repositoryName=order.physical_id, force=True)


def _put_parameter(order: Order) -> Made:
    name = order.physical_id or order.name("Name", 200)
    kept = order.without("Name", "Tags", "Policies")
    order.call("ssm", "put_parameter", Name=name, Overwrite=True, **kept)
    return Made(name, {"Value": order.properties["Value"], "Type": order.properties["Type"]})


def _remove_parameter(order: Order) -> None:
    order.call("ssm", "delete_parameter", Name=order.physical_id)


def _generated(wanted: Properties) -> str:
    excluded = set(wanted.get("ExcludeCharacters", ""))
    letters = string.ascii_letters + ("" if wanted.get("ExcludeNumbers") else string.digits)
    letters += "" if wanted.get("ExcludePunctuation") else "!#$%&()*+,-./:;<=>?@[]^_{|}~"
    usable = [letter for letter in letters if letter not in excluded]
    return "".join(secrets.choice(usable) for _ in range(int(wanted.get("PasswordLength", 32))))


def _secret_value(properties: Properties) -> Any:
    wanted = properties.get("GenerateSecretString")
    if wanted is None:
        return properties.get("SecretString", "{}")
    if template := wanted.get("SecretStringTemplate"):
        return json.dumps({**json.loads(template), wanted["GenerateStringKey"]: _generated(wanted)})
    return _generated(wanted)


def _make_secret(order: Order) -> Made:
    name = order.name("Name", 200)
    kept = {key: order.properties[key] for key in ("Description", "KmsKeyId") if key in order.properties}
    value = _secret_value(order.properties)
    arn = order.call("secretsmanager", "create_secret", Name=name, SecretString=value, Tags=order.tag_list(), **kept)[
        "ARN"
    ]
    return Made(arn, {"Id": arn})


def _change_secret(order: Order) -> Made:
    if "SecretString" in order.properties:
        value = order.properties["SecretString"]
        order.call("secretsmanager", "put_secret_value", SecretId=order.physical_id, SecretString=value)
    return Made(order.physical_id, order.attributes)


def _remove_secret(order: Order) -> None:
    order.call("secretsmanager", "delete_secret", SecretId=order.physical_id, ForceDeleteWithoutRecovery=True)


_TABLE_ASIDE = (
    "TableName",
    "TimeToLiveSpecification",
    "PointInTimeRecoverySpecification",
    "Tags",
    "Replicas",
    "SSESpecification",
)


def _make_table(order: Order) -> Made:
    name = order.name("TableName", 255)
    kept = order.without(*_TABLE_ASIDE, "WriteProvisionedThroughputSettings", "ContributorInsightsSpecification")
    kept.setdefault("BillingMode", "PROVISIONED" if "ProvisionedThroughput" in kept else "PAY_PER_REQUEST")
    if stream := kept.get("StreamSpecification"):
        kept["StreamSpecification"] = {"StreamEnabled": True, **stream}
    tags = order.tag_list()
    for replica in order.properties.get("Replicas", []):
        tags += replica.get("Tags", [])
    made = order.call("dynamodb", "create_table", TableName=name, Tags=tags, **kept)["TableDescription"]
    _configure_table(order, name)
    return Made(
        name,
        {"Arn": made["TableArn"], "StreamArn": made.get("LatestStreamArn", ""), "TableId": made.get("TableId", "")},
    )


def _configure_table(order: Order, name: str) -> None:
    if expiry := order.properties.get("TimeToLiveSpecification"):
        order.call("dynamodb", "update_time_to_live", TableName=name, TimeToLiveSpecification=expiry)
    replicas = order.properties.get("Replicas", [{}])
    recovery = order.properties.get("PointInTimeRecoverySpecification") or replicas[0].get(
        "PointInTimeRecoverySpecification"
    )
    if recovery:
        order.call("dynamodb", "update_continuous_backups", TableName=name, PointInTimeRecoverySpecification=recovery)


def _change_table(order: Order) -> Made:
    changeable = ("BillingMode", "ProvisionedThroughput", "DeletionProtectionEnabled", "StreamSpecification")
    changed = {
        key: order.properties[key]
        for key in changeable
        if key in order.properties and order.properties[key] != order.before.get(key)
    }
    if changed:
        order.call("dynamodb", "update_table", TableName=order.physical_id, **changed)
    _configure_table(order, order.physical_id)
    return Made(order.physical_id, order.attributes)


def _remove_table(order: Order) -> None:
    order.call("dynamodb", "delete_table", TableName=order.physical_id)


_TABLE = Kind(
    _make_table,
    _remove_table,
    _change_table,
    frozenset({"TableName", "KeySchema", "AttributeDefinitions", "LocalSecondaryIndexes", "GlobalSecondaryIndexes"}),
)

KINDS = {
    "AWS::S3::Bucket": Kind(_make_bucket, _remove_bucket, _change_bucket, frozenset({"BucketName"})),
    "AWS::S3::BucketPolicy": Kind(_put_bucket_policy, _remove_bucket_policy, _put_bucket_policy, frozenset({"Bucket"})),
    "AWS::KMS::Key": Kind(_make_key, _remove_key, _change_key, frozenset({"KeySpec", "KeyUsage", "MultiRegion"})),
    "AWS::KMS::Alias": Kind(_make_alias, _remove_alias, _change_alias, frozenset({"AliasName"})),
    "AWS::ECR::Repository": Kind(
        _make_repository, _remove_repository, _change_repository, frozenset({"RepositoryName"})
    ),
    "AWS::SSM::Parameter": Kind(_put_parameter, _remove_parameter, _put_parameter, frozenset({"Name", "Type"})),
    "AWS::SecretsManager::Secret": Kind(_make_secret, _remove_secret, _change_secret, frozenset({"Name"})),
    "AWS::DynamoDB::Table": _TABLE,
    "AWS::DynamoDB::GlobalTable": _TABLE,
}
