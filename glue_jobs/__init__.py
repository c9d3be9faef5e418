"""Spark jobs that refine the lake; each is a pure `transform` and a thin `main`."""
