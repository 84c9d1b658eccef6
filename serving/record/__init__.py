"""The decision record: every answered decision, durable, chained, verifiable and replayable."""
