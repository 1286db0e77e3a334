"""Passes, one file each: pure functions Graph -> Graph; pipelines in pipeline order."""
