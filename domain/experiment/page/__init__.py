"""Write a readout as one file to open, and as JSON: where readouts are made there is no room for a drawing library."""
