"""Run the command line and pick the exit status (SPEC 11)."""

from __future__ import annotations

import errno
import os
import signal
import sys

import click

from snexec.errors import ConfigError, SnexecError

_UNWRITABLE = {errno.EPIPE, errno.ENOSPC, errno.EIO}


def main() -> None:
    """Run; 2 is for what the user typed or wrote, 1 for what failed later."""
    # Until the daemon listens to it, a SIGHUP must not kill it.
    hang_up = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _open_missing_streams()
    from snexec.cli import cli  # noqa: PLC0415

    try:
        status = cli.main(prog_name="snexec", standalone_mode=False, obj=hang_up)
        sys.stdout.flush()
    except OSError as exc:
        if exc.errno not in _UNWRITABLE:
            raise
        # Python must not try once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(exc, BrokenPipeError):
            sys.exit(1)  # whoever reads it has enough, as `head` does
        _fail(f"standard output cannot be written: {exc.strerror}", 1)
    except click.ClickException as exc:
        _fail(exc.format_message(), 2)
    except click.Abort:
        _fail("aborted", 1)
    except ConfigError as exc:
        _fail(str(exc), 2)
    except SnexecError as exc:
        _fail(str(exc), 1)
    else:
        sys.exit(status)


def _open_missing_streams() -> None:
    """Let everything write to nowhere where a stream was closed for it."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _fail(message: str, status: int) -> None:
    from snexec.logs import printable  # noqa: PLC0415 - where all went well it is not needed

    # It may quote a row, or whoever answered in the daemon's place.
    click.echo(f"snexec: {printable(' '.join(message.split()))}", err=True)
    sys.exit(status)


if __name__ == "__main__":
    main()
