"""Documents of trained models for those who answer for them: model cards, a model-risk pack."""
