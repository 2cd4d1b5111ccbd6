"""Configurations of servers, as the common hosts write them: `MCPConfig`, its entries, and where hosts keep theirs."""

from typing import TYPE_CHECKING

from tybalt.lazy_names import lazy_names

if TYPE_CHECKING:
    from tybalt.client.config.config import MCPConfig as MCPConfig
    from tybalt.client.config.entries import AddressEntry as AddressEntry
    from tybalt.client.config.entries import CommandEntry as CommandEntry
    from tybalt.client.config.entries import ServerEntry as ServerEntry
    from tybalt.client.config.error import ConfigError as ConfigError
    from tybalt.client.config.files import ConfigFile as ConfigFile
    from tybalt.client.config.files import config_files as config_files

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "tybalt.client.config.config": "MCPConfig",
        "tybalt.client.config.entries": "AddressEntry CommandEntry ServerEntry",
        "tybalt.client.config.error": "ConfigError",
        "tybalt.client.config.files": "ConfigFile config_files",
    },
)
