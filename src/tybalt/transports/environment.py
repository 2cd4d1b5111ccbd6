"""What a child process inherits of our environment: enough to run, and no credentials that happen to be there.

The same names as the official SDKs, and the locale and the folder for temporary files besides. Above: `process`.
"""

import os
from collections.abc import Iterable, Mapping

INHERITED = ("PATH", "HOME", "LANG", "USER", "LOGNAME", "SHELL", "TERM", "TMPDIR")
INHERITED_ON_WINDOWS = (
    *("APPDATA", "COMSPEC", "HOMEDRIVE", "HOMEPATH", "LOCALAPPDATA", "PATH", "PATHEXT", "PROCESSOR_ARCHITECTURE"),
    *("PROGRAMFILES", "SYSTEMDRIVE", "SYSTEMROOT", "TEMP", "TMP", "USERNAME", "USERPROFILE"),
)


def default_environment() -> dict[str, str]:
    """What a server inherits unless told otherwise: where programs and home are, who the user is, and the locale.

    Never credentials that happen to be in our environment, and no PYTHON variables: those are ours, not the server's.
    """
    names = INHERITED if os.name == "posix" else INHERITED_ON_WINDOWS
    return {
        name: value
        for name, value in os.environ.items()
        # A value that begins with "()" is a function some shell exported: code, not a setting.
        if (name in names or name.startswith("LC_")) and not value.startswith("()")
    }


def environment_of(given: Mapping[str, str], inherit: "str | Iterable[str]") -> dict[str, str]:
    """The default one, what `inherit` names of ours ("all": everything), and over both what is `given`."""
    if inherit == "all":
        return {**os.environ, **given}
    named = {name: os.environ[name] for name in inherit if name in os.environ}
    return {**default_environment(), **named, **given}
