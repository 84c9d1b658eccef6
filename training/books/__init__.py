"""Loaders of real books: one module reads one publisher's files into the canonical tables."""
