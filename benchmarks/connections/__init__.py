"""Connections to the web server: a browser as cheap as can be, and senders that take their time."""

from benchmarks.connections.browsing import Answer, Browser, Times
from benchmarks.connections.slow import held, kinds

__all__ = ["Answer", "Browser", "Times", "held", "kinds"]
