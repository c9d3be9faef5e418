"""What a steward of data types: erase, verify, release, anonymize, detokenize."""
