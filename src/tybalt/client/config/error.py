"""`ConfigError`: a configuration that cannot be used. Below all other modules of the configuration."""

from tybalt.errors import TybaltError


class ConfigError(TybaltError, ValueError):
    """A configuration of servers that cannot be used.

    The text names the file, the key (`mcpServers.weather.command`), what was expected there and what to do. What may be
    a secret is never in it: of a wrong value it says the type alone. `source` is the file, where there is one, and
    `key` the path of the key, empty where the file itself is at fault.
    """

    def __init__(self, reason: str, *, key: str = "", source: str | None = None) -> None:
        super().__init__(": ".join(part for part in (source, key, reason) if part))
        self.key = key
        self.source = source
