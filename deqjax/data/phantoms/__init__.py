"""Invented heads and coils: an embedded data set for tests and demonstrations."""
