"""The command line: `tybalt run | call | list`."""

from tybalt.cli.main import main as main
