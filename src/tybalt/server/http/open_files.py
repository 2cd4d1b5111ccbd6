"""How many files the process may have open: as many as its connections need, each of which is one.

A system lets a process open few unless it asks for more: 1,024 on most of Linux, 256 on macOS. Without asking, a server
would stop accepting long before `max_connections`, and could not even tell those who come that it is full.
"""

import sys
from typing import Final

SPARE: Final = 200
"""Files beside the connections: those of the loop, of the code that is served, and of who is told that it is full."""
MACOS_MOST: Final = 10_240
"""What older versions of macOS give at most, whatever they say the hard limit is (its `OPEN_MAX`)."""


def make_room(connections: int) -> str | None:
    """Raise the soft limit of open files to what `connections` need, and tell what is wrong where that cannot be.

    It is never lowered, never above the hard limit, and what is forked later has it too. Nothing happens where there is
    no such limit (Windows).
    """
    if sys.platform == "win32":
        return None
    import resource

    needed = connections + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return None
    for wanted in (needed, MACOS_MOST):
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        if soft < raised <= needed and _is_set(raised, hard):
            soft = raised
            break
    return None if soft >= needed else _too_few(connections, soft)


def _is_set(soft: int, hard: int) -> bool:
    import resource

    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    except (ValueError, OSError):  # Some systems have yet another limit, of which they say nothing.
        return False
    return True


def _too_few(connections: int, limit: int) -> str:
    needed = connections + SPARE
    return (
        f"max_connections={connections:,} needs {needed:,} open files, and the system lets this process have "
        f"{limit:,}: raise its hard limit (LimitNOFILE={needed} of systemd, --ulimit nofile={needed} of docker run, "
        f"`ulimit -Hn {needed}` as root), or give server.run('http', …) max_connections={max(1, limit - SPARE)}"
    )
