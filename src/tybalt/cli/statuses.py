"""With which status a command ends: for scripts, the same for every command, and documented in one table."""

from typing import Final

DONE: Final = 0
FAILED: Final = 1
"""The tool said no, or the file of the server failed."""
MISUSED: Final = 2
UNREACHED: Final = 3
REFUSED: Final = 4
"""The server answered with an error of the protocol, or with what is no answer."""
LATE: Final = 5
INTERRUPTED: Final = 130
READER_GONE: Final = 141
"""What a shell says of a process that SIGINT (128 + 2) or SIGPIPE (128 + 13) has ended."""
