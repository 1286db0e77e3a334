"""The command line: `edgeprune VERB ...`."""

from edgeprune.cli.app import app, main

__all__ = ["app", "main"]
