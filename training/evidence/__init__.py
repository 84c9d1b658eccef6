"""What a model validator asks for: scores, curves, explanations, screens, and their report."""
