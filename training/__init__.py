"""The pipeline: from quotes and loans to published models. DVC and MLflow live here only."""
