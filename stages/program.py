"""What a stage does as a program when it is used wrongly or gets bad input: one clear line and exit code 2."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from stages.params import ParamsError

FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def one_line_errors(stage: str, *kinds: type[Exception]) -> Iterator[None]:
    """Decorate `main` with it: ParamsError, FileNotFoundError and `kinds` become a line on stderr and exit code 2; so
    do a full disk, and Ctrl-C (exit code 130)."""
    try:
        yield
    except (ParamsError, FileNotFoundError, *kinds) as error:
        print(f"{stage}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print(f"{stage}: interrupted; type the command again and it goes on where it was", file=sys.stderr)
        raise SystemExit(130) from None
    except OSError as error:
        if error.errno not in FULL:
            raise
        what = f"while writing {error.filename}" if error.filename else "while writing"
        print(
            f"{stage}: the disk is full {what}: free some space and type the command again; it goes on where it was",
            file=sys.stderr,
        )
        raise SystemExit(2) from None
