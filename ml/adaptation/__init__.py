"""A bundle and a laboratory's own cells → a new bundle that knows the laboratory.

`adapt` tries the `ways` there are on held-out photographs and keeps what helped. It never changes
the bundle that it was given.
"""
