"""Measurements, each a ratio against something else in the same run. No test reads a clock.

A module is a command, and knows none of the others. What they share lies below them: `rig` is a
system to measure, `peers` what it is held against, `history` what its database may hold,
`connections` who asks it for pages, and `table` the form of all results.
"""
