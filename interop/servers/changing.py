"""A Tybalt server whose lists have pages and change while a client looks: what our example has no need of."""

import os
import signal

from tybalt import Server

server = Server("changing", version="1.0.0", page_size=3)


@server.tool
def grow() -> str:
    """Offer one more tool."""
    server.add(grown)
    return "grown"


@server.tool
def shrink() -> str:
    """Take that tool away."""
    server.handle("tool", "grown").remove()
    return "shrunk"


@server.tool
def touch() -> str:
    """Say that the resource has changed."""
    server.resource_updated("counter://value")
    return "touched"


@server.tool
def leave() -> str:
    """End this server, as whoever operates it would."""
    os.kill(os.getpid(), signal.SIGTERM)
    return "goodbye"


def grown() -> str:
    """A tool that is not always there."""
    return "here I am"


@server.resource("counter://value")
def value() -> str:
    """A resource to watch."""
    return "1"


if __name__ == "__main__":
    server.run()
