"""Rows as plain values: what the API sends and the pages show, alike, and how values read.

Nothing is changed here, and no page is known.
"""
