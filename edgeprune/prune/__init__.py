"""Which channels may go, which should, and taking them out."""
