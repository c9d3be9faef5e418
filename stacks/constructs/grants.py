"""Allow a role just the prefixes and tables of the lake that it names."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_assets as assets

from domain.tables import TABLES, Table
from stacks.constructs.nag import accept_wildcards, seen_from

READ = ("s3:GetObject",)
WRITE = ("s3:PutObject", "s3:AbortMultipartUpload")
DELETE = ("s3:DeleteObject",)


def grant_files(
    role: iam.Role,
    bucket: s3.Bucket,
    *,
    reads: Sequence[str] = (),
    writes: Sequence[str] = (),
    deletes: Sequence[str] = (),
    lists: Sequence[str] = (),
) -> None:
    """Allow objects under prefixes to be read, written, deleted or listed; each is allowed alone."""
    for actions, prefixes in ((READ, reads), (WRITE, writes), (DELETE, deletes)):
        if prefixes:
            resources = [bucket.arn_for_objects(f"{prefix}*") for prefix in dict.fromkeys(prefixes)]
            role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=resources))
    if lists:
        role.add_to_policy(
            iam.PolicyStatement(
                actions=["s3:ListBucket"],
                resources=[bucket.bucket_arn],
                conditions={"StringLike": {"s3:prefix": [f"{prefix}*" for prefix in dict.fromkeys(lists)]}},
            )
        )
    arn = seen_from(role, bucket, bucket.bucket_arn)
    patterns = dict.fromkeys(f"{arn}/{prefix}*" for prefix in (*reads, *writes, *deletes))
    accept_wildcards(role, "Objects are named as they come; the wildcard ends a prefix of the role's work.", *patterns)


def grant_key(role: iam.Role, key: kms.IKey) -> None:
    """Allow what is encrypted with the key to be read and written."""
    # Not key.grant_encrypt_decrypt: it allows kms:ReEncrypt* and kms:GenerateDataKey*, which nothing here calls.
    role.add_to_policy(iam.PolicyStatement(actions=["kms:Decrypt", "kms:GenerateDataKey"], resources=[key.key_arn]))


def grant_tables(
    role: iam.Role, bucket: s3.Bucket, *, reads: Sequence[Table] = (), writes: Sequence[Table] = ()
) -> None:
    """Allow tables to be read, or read and written, with their data files and their catalogue entries."""
    grant_files(
        role,
        bucket,
        reads=[prefix for table in (*reads, *writes) for prefix in files_of(table)],
        writes=[table.prefix for table in writes],
        deletes=[table.prefix for table in writes],
        lists=[table.prefix for table in (*reads, *writes)],
    )
    role.add_to_policy(catalogue_statement(role, ["glue:GetDatabase", "glue:GetTable"], (*reads, *writes)))
    if writes:
        role.add_to_policy(catalogue_statement(role, ["glue:UpdateTable"], writes))


def grant_upkeep(role: iam.Role, bucket: s3.Bucket) -> None:
    """Allow every table of the lake to be rewritten, and what no snapshot holds any more to be removed."""
    # By database: naming each table would not fit into a role's policy.
    prefixes = ["landing/", *(f"{database}/" for database in dict.fromkeys(table.database for table in TABLES))]
    grant_files(role, bucket, reads=prefixes, writes=prefixes, deletes=prefixes, lists=prefixes)
    role.add_to_policy(catalogue_statement(role, ["glue:GetDatabase", "glue:GetTable", "glue:UpdateTable"], TABLES))


def files_of(table: Table) -> list[str]:
    """List the prefixes under which a table's files lie."""
    # Consumers write the data files of a raw table before the table knows of them.
    return [table.prefix, f"landing/{table.name}/"] if table.database == "raw" else [table.prefix]


def catalogue_statement(role: iam.Role, actions: list[str], tables: Sequence[Table]) -> iam.PolicyStatement:
    """Allow actions of the Glue catalogue on tables, by name."""
    names = ["catalog"]
    names += [f"database/{database}" for database in dict.fromkeys(table.database for table in tables)]
    names += [f"table/{table.database}/{table.name}" for table in tables]
    return iam.PolicyStatement(actions=actions, resources=[catalogue_arn(role, name) for name in dict.fromkeys(names)])


def catalogue_arn(role: iam.Role, name: str) -> str:
    """Name an entry of the Glue catalogue."""
    return Stack.of(role).format_arn(service="glue", resource=name, arn_format=ArnFormat.NO_RESOURCE_NAME)


def grant_asset(role: iam.Role, *found: assets.Asset) -> None:
    """Allow deployed files to be read: these, where the asset's own grant would allow all of the account's."""
    resources = [asset.bucket.arn_for_objects(asset.s3_object_key) for asset in found]
    role.add_to_policy(iam.PolicyStatement(actions=[*READ], resources=resources))
