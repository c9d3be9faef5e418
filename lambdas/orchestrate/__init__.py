"""Start the day's run."""
