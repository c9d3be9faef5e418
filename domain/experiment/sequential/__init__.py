"""Look at results more than once without fooling oneself."""
