"""`python -m tybalt` is the `tybalt` command."""

from tybalt.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
