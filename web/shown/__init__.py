"""Rows as models of `contract`, which the API sends and the pages show; and how values read.

Nothing is changed here, and no page is known.
"""
