"""Decide what units get, and learn from what they do."""
