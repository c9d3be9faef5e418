"""A cloud on a laptop: one loopback server that answers as AWS does, for the calls that a data platform makes."""
