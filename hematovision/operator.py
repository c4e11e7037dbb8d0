"""Who works at the command line, as the audit trail names them."""

from __future__ import annotations

import getpass
import socket

from core.audit import Actor


def operator() -> Actor:
    """Return the user of the operating system; whoever reaches the database needs no account."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"  # a container may run under a number that has no name
    return Actor(f"command line ({user})", address=socket.gethostname())
