"""The short way of a modern POST: one more call of a plain tool, with a head that came before.

A head that is the same, to the letter, has been compared with the revision, the method and the tool of a body. Where
the next body has the same `_meta`, byte for byte, and calls the same tool, nothing is left to compare, and everything
is decoded at once, its arguments too (`server.plain_calls`). A wrong guess costs a decode, and is made a few times for
each head. Whatever is not read here goes the long way, which tells what is wrong.
"""

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from tybalt.protocol.prescan import PRESCAN_FROM
from tybalt.server.http.door import Entry
from tybalt.server.plain_calls import Decode, Run

if TYPE_CHECKING:
    from tybalt.server.server import Server

_NONE: Final = (None, None)


class Alike(Struct):
    """What the bodies that came with one head had in common."""

    revision: str
    decode: Decode
    meta: Any
    run: Run


class PlainPosts:
    """What is guessed of the bodies of the heads that are remembered."""

    def __init__(self, server: "Server") -> None:
        self._catalogue = server.catalogue
        self._is_on = server.operations is None  # Else every call has to pass the middleware.

    def read(self, entry: Entry, body: bytes) -> Any:
        """The call, whose `params` have what is to `run`; `None` where it is not like the last one."""
        alike: Alike = entry.alike
        if not body.isascii() or len(body) > PRESCAN_FROM:
            return None
        decode = alike.decode
        if decode is self._catalogue.decoder(alike.revision):
            try:
                request = decode(body)
                params = request.params
                if params.meta == alike.meta and params.run is alike.run:
                    return request
            except KeyboardInterrupt:
                raise
            except BaseException:  # noqa: BLE001, S110 (a validator may raise anything; the long way tells)
                pass
            entry.guesses -= 1
        entry.alike = None
        return None

    def learn(self, entry: Entry, params: Any, body: bytes) -> None:
        """Guess that the next body with this head is like this one, which was read, compared and found right."""
        if not self._is_on or params.meta.budget is not None or len(body) > PRESCAN_FROM:
            return
        revision, name = params.meta.protocol_version, params.name
        tool, _ = self._catalogue.plain_tools(revision).get(name, _NONE)
        if tool is None or tool.header_parameters is not None:  # Those say something else each time.
            return
        decode = self._catalogue.plain_calls(revision, name)
        if decode is None or name not in self._catalogue.called_tools(revision):
            return
        try:
            read = decode(body).params
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 (arguments that do not fit, or a validator that raises)
            return
        entry.alike = Alike(revision, decode, read.meta.copy(), read.run)  # A copy, or it would keep the body alive.
