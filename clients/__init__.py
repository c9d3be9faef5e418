"""What a user imports to talk to the platform."""
