"""Views that mask by privacy class, and the grants by which an analyst reads them and not what is under them."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import Stack
from aws_cdk import aws_glue as glue
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lakeformation as lakeformation
from constructs import Construct

from domain.privacy import masking
from domain.tables import Table
from stacks.constructs.grants import catalogue_arn
from stacks.constructs.nag import accept_wildcards

DEFINER = "rivermill-views"
DIALECT, VERSION = "ATHENA", "3"


class MaskedViews(Construct):
    """A view of each curated table.

    IAM cannot hide a column of a file, and who reads a view of Athena's own needs the table under it.  A view of the
    Glue catalogue runs as its definer (Athena guide, "Use Data Catalog views"), so analysts are granted it alone.
    """

    def __init__(self, scope: Construct, id: str, *, analyst: iam.Role) -> None:
        super().__init__(scope, id)
        self.analyst = analyst
        account = Stack.of(self).account
        self.definer = iam.Role(
            self,
            "Definer",
            role_name=DEFINER,
            assumed_by=iam.CompositePrincipal(
                *(iam.ServicePrincipal(f"{name}.amazonaws.com") for name in ("glue", "lakeformation"))
            ),
        )
        described = glue.CfnDatabase.DatabaseInputProperty(
            name=masking.DATABASE, description="What analysts see of the curated tables"
        )
        self.database = glue.CfnDatabase(self, "Database", catalog_id=account, database_input=described)
        for table in masking.MASKED:
            self._view(table)
        for role in (self.definer, analyst):
            role.add_to_policy(iam.PolicyStatement(actions=["lakeformation:GetDataAccess"], resources=["*"]))
            accept_wildcards(role, "GetDataAccess takes no resource; Lake Formation's grants say what it opens.", "*")
        self._grant_catalogue()

    def _view(self, table: Table) -> None:
        text, of = masking.view(table), f"{table.name.title().replace('_', '')}"
        base = catalogue_arn(self.definer, f"table/{table.full_name.replace('.', '/')}")
        # L1: the module's tables have no views.
        made = glue.CfnTable(
            self,
            of,
            catalog_id=Stack.of(self).account,
            database_name=masking.DATABASE,
            table_input=glue.CfnTable.TableInputProperty(
                name=table.name,
                description=f"{table.doc} Masked by privacy class.",
                table_type="VIRTUAL_VIEW",
                view_original_text=text,
                view_expanded_text=text,
                storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
                    columns=[
                        glue.CfnTable.ColumnProperty(name=column.name, type=column.glue_type, comment=column.field.doc)
                        for column in table.columns
                    ]
                ),
                view_definition=glue.CfnTable.ViewDefinitionProperty(
                    is_protected=True,
                    definer=self.definer.role_arn,
                    sub_objects=[base],
                    representations=[
                        glue.CfnTable.ViewRepresentationProperty(
                            dialect=DIALECT,
                            dialect_version=VERSION,
                            view_original_text=text,
                            view_expanded_text=text,
                        )
                    ],
                ),
            ),
        )
        made.add_resource_dependency(self.database)
        may = self._granted(f"{of}Definer", self.definer, table.database, table.name, passes_on=True)
        made.add_resource_dependency(may)
        self._granted(f"{of}Analyst", self.analyst, masking.DATABASE, table.name).add_resource_dependency(made)

    def _granted(
        self, id: str, role: iam.Role, database: str, table: str, *, passes_on: bool = False
    ) -> lakeformation.CfnPrincipalPermissions:
        account, verbs = Stack.of(self).account, ["DESCRIBE", "SELECT"]
        return lakeformation.CfnPrincipalPermissions(
            self,
            id,
            principal=lakeformation.CfnPrincipalPermissions.DataLakePrincipalProperty(
                data_lake_principal_identifier=role.role_arn
            ),
            resource=lakeformation.CfnPrincipalPermissions.ResourceProperty(
                table=lakeformation.CfnPrincipalPermissions.TableResourceProperty(
                    catalog_id=account, database_name=database, name=table
                )
            ),
            permissions=verbs,
            permissions_with_grant_option=verbs if passes_on else [],
        )

    def _grant_catalogue(self) -> None:
        """Allow the entries to be read; what rows are seen is for Lake Formation to say."""
        under = [*dict.fromkeys(table.database for table in masking.MASKED)]
        self._entries(self.analyst, [masking.DATABASE], [f"{masking.DATABASE}/{t.name}" for t in masking.MASKED])
        self._entries(self.definer, under, [t.full_name.replace(".", "/") for t in masking.MASKED])

    def _entries(self, role: iam.Role, databases: Sequence[str], tables: Sequence[str]) -> None:
        entries = ["catalog", *(f"database/{each}" for each in databases), *(f"table/{each}" for each in tables)]
        arns = [catalogue_arn(role, entry) for entry in entries]
        role.add_to_policy(iam.PolicyStatement(actions=["glue:GetDatabase", "glue:GetTable"], resources=arns))
