"""The command line: thin commands that parse, call one function, and print."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of ``regrow``: one-line errors, exit code 0 done, 1 the work failed, 2 the input was wrong."""
    from regrow.cli.app import app
    from regrow.cli.console import print_error
    from regrow.errors import RegrowError

    try:
        app()
    except RegrowError as error:
        print_error(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print_error("interrupted; nothing is lost: the same command goes on where it was.")
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
