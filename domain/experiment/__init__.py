"""Declare experiments, assign their units, read them out; the standard library, but readings take numpy and SciPy."""
