"""HTTP: gunicorn's processes, uvicorn's event loop in each, and the way from there to Flask.

`server` runs it, `connections` holds slow ones to their time, `arriving` gathers bodies, `bridge`
gives whole requests a thread. What is asked for is not known here.
"""
