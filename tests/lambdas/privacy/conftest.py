"""The lake of the ingest tests, with tables that erasures are made in."""

from tests.lambdas.ingest.conftest import endpoint, lake  # noqa: F401  # fixtures
