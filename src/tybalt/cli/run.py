"""`tybalt run`: serve what a file holds over stdio, for an MCP client to launch.

The standard streams are out of reach before the first line of the file runs, so nothing but messages gets to the
client, whatever the file, its libraries and their child processes write.
"""

from tybalt.cli.target import load_server
from tybalt.server.process import run_stdio
from tybalt.transports.stdio import StandardStreams


def run(target: str) -> int:
    """Serve until the client or a signal ends it, and return the exit status. Raises what the file raises."""
    streams = StandardStreams()
    try:
        server = load_server(target)
    except BaseException:
        streams.give_back()
        raise
    run_stdio(server, streams)
    return 0
