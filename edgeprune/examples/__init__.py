"""Recipes that come with edgeprune."""
