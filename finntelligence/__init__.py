"""The decision core: pure functions and frozen values on numpy."""

__version__ = "0.1.0"
