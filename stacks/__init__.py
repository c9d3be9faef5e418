"""What runs in AWS: one stack a capability, around a lake that holds all state."""
