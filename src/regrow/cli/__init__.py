"""The command line: thin commands that parse, call one function, and print."""

from __future__ import annotations

import errno
import sys

from regrow._collector import leave_at_exit


def main(arguments: list[str] | None = None) -> None:
    """Entry point of ``regrow``: one-line errors, exit code 0 done, 1 the work failed, 2 the input was wrong."""
    leave_at_exit()
    sys.exit(run(arguments))


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    from typer.exceptions import TyperException

    from regrow.cli.app import app
    from regrow.cli.console import print_error
    from regrow.errors import RegrowError

    try:
        code = app(arguments, prog_name="regrow", standalone_mode=False)
    except RegrowError as error:
        print_error(str(error))
        return error.exit_code
    except TyperException as error:
        text = error.format_message()
        if text:  # else it was the help
            print_error(f"{text.rstrip('.')}. Next: see what there is with --help.")
        return error.exit_code
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:
        where = f" {error.filename}" if error.filename else ""
        print_error(f"{error.strerror or error}:{where}. Next: check the path, its permissions and the free space.")
        return 1 if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO) else 2
    if code == 130:
        print_error("interrupted; nothing is lost: the same command goes on where it was.")
    return code if isinstance(code, int) else 0
