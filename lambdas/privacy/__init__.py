"""Find, remove and reverse what the lake holds of a person."""
