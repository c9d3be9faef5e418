"""Say what may be published of a table under differential privacy, and what it costs; the standard library alone."""
