"""Toolchains, linking, ELF sizes."""
