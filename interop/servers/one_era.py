"""A Tybalt server that serves one era only, the one it is told: `python one_era.py legacy`."""

import sys

from tybalt import Server

server = Server("one era", eras=sys.argv[1])


@server.tool
def add(a: int, b: int) -> int:
    """Add two whole numbers."""
    return a + b


if __name__ == "__main__":
    server.run()
