"""Put models to work and answer requests for predictions."""
