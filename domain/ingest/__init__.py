"""The rules of ingestion: what a record must be, and how a batch lands exactly once."""
