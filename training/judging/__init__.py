"""Off-policy evaluation: what other policies would have earned on randomised quotes."""
