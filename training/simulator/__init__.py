"""Worlds whose truth is known, and what models earn in them."""
