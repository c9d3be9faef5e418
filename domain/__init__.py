"""What the platform speaks of: events, tables, metrics, settings; only the standard library at this level."""
