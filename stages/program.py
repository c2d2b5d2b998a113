"""What a stage does as a program when it is used wrongly or gets bad input: one clear line and exit code 2.

So it does where a study has its own parameters and outputs in the workspace, unless the study itself runs it: what
`dvc repro` made then would be the study's, and gone when the study's changes are put back.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.params import PARAMS_FILE, ParamsError

FULL = (errno.ENOSPC, errno.EDQUOT)
STUDY = "DREAMTALK_STUDY"  # in the environment of the stages that a study runs: its name
BORROWED = Path(".work/study/complete")  # there from a study's beginning until its changes have been put back


@contextmanager
def one_line_errors(stage: str, *kinds: type[Exception]) -> Iterator[None]:
    """Decorate `main` with it: ParamsError, FileNotFoundError and `kinds` become a line on stderr and exit code 2; so
    do a full disk, and Ctrl-C (exit code 130)."""
    try:
        refuse_among_a_studys_changes()
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


def refuse_among_a_studys_changes() -> None:
    """Raises:
    ParamsError: the workspace is a study's, and this is not the study.
    """
    if BORROWED.exists() and STUDY not in os.environ:
        raise ParamsError(
            f"{PARAMS_FILE} and outputs are those of a study, which runs or was killed: wait for its end, or type "
            "`dreamtalk reproduce`, which first puts yours back (or the study's own command, to go on with it)"
        )
