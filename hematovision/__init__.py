"""The way in: the command line, the one-machine system, and the client. Nothing imports it."""
