"""Judge a model: measures, their intervals, and the gate; numpy, but `gate` needs only the standard library."""
