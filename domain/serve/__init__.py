"""What a request for predictions must look like; only the standard library."""
