"""What web and worker must agree on, and nothing else.

Settings, tables, the life of a job, accepting bytes and keeping them, the queue's interface, and
who may see what. No page, no network, no PDF belongs here: if only one room needs it, it lives
in that room. `tests/core/test_the_room.py` closes the list of modules.
"""
