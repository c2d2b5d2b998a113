"""What a long stage prints of its progress (see stages/progress.py), as a bar on the page of its run."""

from __future__ import annotations

import re

from prefect.artifacts import create_progress_artifact, update_progress_artifact

LINE = re.compile(r"^(?P<label>[^:]+): (?P<done>\d+)/(?P<total>\d+) .*s left$")


class Progress:
    """The progress artifact of one stage; there is none before the first line that tells of progress."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self._id = None
        self._refused = False

    def see(self, line: str) -> None:
        """Read a line of the stage's output; stages print theirs every ten seconds.

        Raises:
            Exception: what keeps Prefect from showing it; this is not tried again.
        """
        if self._refused or not (found := LINE.match(line)):
            return
        self._refused = True  # until it is shown: without a server each try takes a minute
        share = 100 * int(found["done"]) / int(found["total"])
        if self._id is None:
            self._id = create_progress_artifact(share, key=artifact_key("progress", self.stage), description=line)
        else:
            update_progress_artifact(self._id, share, description=line)
        self._refused = False


def artifact_key(*parts: str) -> str:
    """A key as Prefect allows them: small letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")
