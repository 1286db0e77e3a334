"""From program to C sources."""
