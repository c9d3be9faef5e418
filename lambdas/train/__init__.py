"""Decide whether a day can be trained on, and enter in the registry what training made."""
