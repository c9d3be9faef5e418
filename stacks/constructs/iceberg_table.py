"""The one way in which this app declares a table: Iceberg v2 in the Glue catalogue, kept in shape by Glue."""

from __future__ import annotations

from aws_cdk import RemovalPolicy
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from domain.contract.iceberg import iceberg_partition, iceberg_schema
from domain.layout import FEWEST_INPUT_FILES, ORPHAN_AGE, history, properties
from domain.tables import Table
from stacks.config import OPTIMIZER, Config


class IcebergTable(Construct):
    """A table of the lake, and what compacts it, expires its snapshots and removes what no snapshot holds."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        table: Table,
        database: glue.CfnDatabase,
        bucket: s3.IBucket,
        config: Config,
        optimizer: iam.IRole,
        removal: RemovalPolicy,
    ) -> None:
        super().__init__(scope, id)
        location = bucket.s3_url_for_object(table.prefix.rstrip("/"))
        # L1: the module has no L2 for an Iceberg table.
        self.table = glue.CfnTable(
            self,
            "Table",
            catalog_id=database.catalog_id,
            database_name=database.ref,
            name=table.name,
            open_table_format_input=open_format(table, location, config.buckets),
        )
        self.table.apply_removal_policy(removal)
        for kind, configuration in upkeep(table, optimizer.role_arn, config.compaction == OPTIMIZER).items():
            glue.CfnTableOptimizer(
                self,
                kind.title().replace("_", ""),
                catalog_id=database.catalog_id,
                database_name=database.ref,
                table_name=table.name,
                type=kind,
                table_optimizer_configuration=configuration,
            ).node.add_dependency(self.table)


def open_format(table: Table, location: str, buckets: int) -> glue.CfnTable.OpenTableFormatInputProperty:
    """Describe a table as the Glue catalogue creates Iceberg tables."""
    table_input = glue.CfnTable.IcebergTableInputProperty(
        location=location,
        schema=schema(table),
        partition_spec=partition_spec(table, buckets),
        write_order=write_order(table),
        properties=properties(table),
    )
    iceberg = glue.CfnTable.IcebergInputProperty(
        metadata_operation="CREATE", version="2", iceberg_table_input=table_input
    )
    return glue.CfnTable.OpenTableFormatInputProperty(iceberg_input=iceberg)


def schema(table: Table) -> glue.CfnTable.IcebergSchemaProperty:
    """Declare the columns, with the field ids of the contract."""
    declared = iceberg_schema(table.columns)
    fields = [glue.CfnTable.IcebergStructFieldProperty(**field) for field in declared["fields"]]
    return glue.CfnTable.IcebergSchemaProperty(schema_id=declared["schema-id"], type=declared["type"], fields=fields)


def partition_spec(table: Table, buckets: int) -> glue.CfnTable.IcebergPartitionSpecProperty:
    """Cut a table by day, or into as many buckets as the stage has."""
    declared = iceberg_partition(table, buckets)
    fields = [
        glue.CfnTable.IcebergPartitionFieldProperty(
            source_id=field["source-id"],
            field_id=field["field-id"],
            name=field["name"],
            transform=field["transform"],
        )
        for field in declared["fields"]
    ]
    return glue.CfnTable.IcebergPartitionSpecProperty(spec_id=declared["spec-id"], fields=fields)


def write_order(table: Table) -> glue.CfnTable.IcebergSortOrderProperty:
    """Sort a table's files."""
    ids = {column.name: position for position, column in enumerate(table.columns, start=1)}
    fields = [
        glue.CfnTable.IcebergSortFieldProperty(
            source_id=ids[column], transform="identity", direction="asc", null_order="nulls-first"
        )
        for column in table.sort
    ]
    return glue.CfnTable.IcebergSortOrderProperty(order_id=1, fields=fields)


def upkeep(
    table: Table, role: str, enabled: bool
) -> dict[str, glue.CfnTableOptimizer.TableOptimizerConfigurationProperty]:
    """Say how Glue keeps a table in shape, by the kind of optimizer; the job `compact` does the same."""
    optimizer = glue.CfnTableOptimizer
    return {
        "compaction": optimizer.TableOptimizerConfigurationProperty(
            enabled=enabled,
            role_arn=role,
            compaction_configuration=optimizer.CompactionConfigurationProperty(
                iceberg_configuration=optimizer.IcebergCompactionConfigurationProperty(
                    strategy="sort", min_input_files=FEWEST_INPUT_FILES
                )
            ),
        ),
        "retention": optimizer.TableOptimizerConfigurationProperty(
            enabled=enabled,
            role_arn=role,
            retention_configuration=optimizer.RetentionConfigurationProperty(
                iceberg_configuration=optimizer.IcebergRetentionConfigurationProperty(
                    snapshot_retention_period_in_days=history(table).days,
                    number_of_snapshots_to_retain=1,
                    clean_expired_files=True,
                )
            ),
        ),
        "orphan_file_deletion": optimizer.TableOptimizerConfigurationProperty(
            enabled=enabled,
            role_arn=role,
            orphan_file_deletion_configuration=optimizer.OrphanFileDeletionConfigurationProperty(
                iceberg_configuration=optimizer.IcebergConfigurationProperty(
                    orphan_file_retention_period_in_days=ORPHAN_AGE.days
                )
            ),
        ),
    }
