"""The decision core: pure functions and frozen values on numpy."""
