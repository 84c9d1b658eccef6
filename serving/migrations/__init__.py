"""The decision record's schema, step by step; `serving.record.database` runs the steps."""
