"""Our server, as a user would write it, in the shapes that the rows need: run as `python bench/ours.py NAME`.

add       one tool; what is started, called one at a time and pipelined
pause     one tool that waits for 10 ms, so that concurrent calls overlap or do not
many      300 tools, to be listed
uvloop    `add` on uvloop
"""

import asyncio
import sys

from tybalt import Server

MANY = 300


def server_add() -> Server:
    server = Server("bench", version="1.0.0", run_in="loop")

    @server.tool
    def add(a: int, b: int) -> int:
        return a + b

    return server


def server_add_async() -> Server:
    server = Server("bench", version="1.0.0")

    @server.tool
    async def add(a: int, b: int) -> int:
        return a + b

    return server


def server_pause() -> Server:
    server = Server("bench", version="1.0.0")

    @server.tool
    async def pause(a: int, b: int) -> int:
        await asyncio.sleep(0.01)
        return a + b

    return server


def server_many() -> Server:
    server = Server("bench", version="1.0.0", run_in="loop")

    def forecast(city: str, days: int = 3, detailed: bool = False) -> str:
        """The weather of the next days in a city.

        Args:
            city: The city's name.
            days: How many days.
            detailed: Whether to tell about every hour.
        """
        return f"{city} {days} {detailed}"

    for number in range(MANY):
        server.tool(f"forecast_{number}")(forecast)
    return server


server = server_add()
"""For `python -m tybalt run bench/ours.py`."""

if __name__ == "__main__":
    shape = sys.argv[1]
    if shape == "uvloop":
        import uvloop

        from tybalt.server.process import serve_stdio

        uvloop.run(serve_stdio(server))
    else:
        {"add": server_add, "pause": server_pause, "many": server_many}[shape]().run()
