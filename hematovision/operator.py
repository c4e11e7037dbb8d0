"""The person at the command line, as the audit trail names them."""

from __future__ import annotations

import getpass
import socket

from core.audit import Actor


def operator() -> Actor:
    """Return the user of the operating system. The command line needs no account of ours."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"  # a container may run under a user number without a name
    return Actor(f"command line ({user})", address=socket.gethostname())
