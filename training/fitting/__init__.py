"""The price-response form fitted to data: base logit, trees, guard, calibration; and its rivals."""
