"""What a stage does as a program when it is used wrongly or gets bad input: one clear line and exit code 2."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from stages.params import ParamsError


@contextmanager
def one_line_errors(stage: str, *kinds: type[Exception]) -> Iterator[None]:
    """Decorate `main` with it: ParamsError, FileNotFoundError and `kinds` become a line on stderr and exit code 2."""
    try:
        yield
    except (ParamsError, FileNotFoundError, *kinds) as error:
        print(f"{stage}: {error}", file=sys.stderr)
        raise SystemExit(2) from None
