"""Measurements, each a ratio against something else in the same run. No test reads a clock."""
