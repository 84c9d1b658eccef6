"""Whole books of applicants: offers to millions, and campaigns within the portfolio's limits."""
