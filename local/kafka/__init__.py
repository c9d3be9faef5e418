"""Kafka clusters, their topics, and the event source mappings that read them."""
