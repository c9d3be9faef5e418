"""Rules of privacy: what is done to a field before it rests, published, or taken out for good."""
