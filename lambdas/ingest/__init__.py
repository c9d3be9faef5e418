"""From the stream into the raw tables."""

import gc

gc.set_threshold(50_000)  # or a sixteenth of a start would go to the search for cycles in what is imported
