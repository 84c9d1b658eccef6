"""The promotion gate: what a challenger pair must show before it may serve."""
