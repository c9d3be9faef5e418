"""Each figure beside its peers and the physical limit."""
