"""A book of applicants at once."""
