"""Send a user's own clicks, kept in a file, through the platform as events."""
