"""The command line: `tybalt run | call | list | read | get | inspect`."""

from tybalt.cli.main import main as main
