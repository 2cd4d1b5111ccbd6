"""Opening the sockets a server listens on, and the care that takes.

A Unix socket must be its owner's before anybody can connect to it, and must not replace what somebody else put there; a
TCP socket must not be reachable from other machines by accident. `sockets` accepts and serves.
"""

import errno
import os
import socket
from asyncio import AbstractEventLoop
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from stat import S_ISSOCK

from tybalt.errors import MisuseError, TransportError


class UnixSocketFile:
    """A bound Unix socket and the file that names it, which `remove` removes unless it is another one by then."""

    def __init__(self, path: str) -> None:
        require_unix_sockets()
        self.path = path
        _make_way(path)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.socket.bind(path)
            # Nobody can connect before listen(), so there is no moment at which others could.
            Path(path).chmod(0o600)
        except OSError as error:
            self.socket.close()
            raise TransportError(f"cannot listen on the Unix socket {path!r}: {error.strerror or error}") from error
        self._identity = _identity(path)

    def remove(self) -> None:
        """Remove the file, if it is still ours."""
        with suppress(FileNotFoundError):
            if _identity(self.path) == self._identity:
                Path(self.path).unlink()


def require_unix_sockets() -> None:
    """Raise `TransportError` where event loops have no Unix sockets."""
    if os.name != "posix":
        raise TransportError("there are no Unix sockets on this system; use serve_tcp and connect_tcp")


async def bind_tcp(loop: AbstractEventLoop, host: str, port: int, *, allow_remote: bool) -> list[socket.socket]:
    """Sockets bound to every address of `host`, all on one port; port 0 picks a free one.

    Raises `MisuseError` when one of them can be reached from other machines and `allow_remote` is false.
    """
    try:
        found = await loop.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise TransportError(f"cannot listen on {host!r}: {error}") from error
    addresses = {str(info[4][0]): int(info[0]) for info in found}
    if not allow_remote:
        _require_loopback(host, addresses)
    return _bind_all(addresses, port)


def _require_loopback(host: str, addresses: dict[str, int]) -> None:
    for address in addresses:
        if not ip_address(address).is_loopback:
            raise MisuseError(
                f"host {host!r} means {address}, which other machines can reach, and nothing on this socket is "
                "encrypted or authenticated; listen on 127.0.0.1, or say allow_remote=True if that is what you want"
            )


def _bind_all(addresses: dict[str, int], port: int) -> list[socket.socket]:
    listeners: list[socket.socket] = []
    refused: OSError | None = None
    try:
        for address, family in addresses.items():
            try:
                listeners.append(_bind(family, address, listeners[0].getsockname()[1] if listeners else port))
            except OSError as error:
                # A machine without IPv6 may still resolve names to it.
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                refused = error
        if not listeners and refused is not None:
            raise refused
    except OSError as error:
        for listener in listeners:
            listener.close()
        raise TransportError(f"cannot listen on {', '.join(addresses)} port {port}: {error.strerror}") from error
    return listeners


def _bind(family: int, address: str, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
    except BaseException:
        listener.close()
        raise
    return listener


def _make_way(path: str) -> None:
    """Remove a socket on which nobody listens any more; raise for anything else that is at `path`."""
    try:
        mode = Path(path).lstat().st_mode
    except OSError:
        # Nothing there, or nowhere: binding will say.
        return
    if not S_ISSOCK(mode):
        raise TransportError(f"cannot listen on {path!r}: it exists and is not a socket; it was left as it is")
    if _somebody_listens(path):
        raise TransportError(f"cannot listen on {path!r}: another server is listening there")
    Path(path).unlink(missing_ok=True)


def _somebody_listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:
            # A full backlog, or no permission to ask: somebody may be there.
            return True
    return True


def _identity(path: str) -> tuple[int, int]:
    status = Path(path).lstat()
    return status.st_dev, status.st_ino
