"""What an operator types: redrive, replay, account."""
