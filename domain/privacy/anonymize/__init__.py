"""Publish rows so that nobody is found by what others know of them: groups alike, diverse and close to the whole."""
