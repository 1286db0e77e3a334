"""What a run found: terminal summary and report.json."""
