"""Cycle models, one core per file; `edgeprune.cycles.model.core_models()` finds them."""
