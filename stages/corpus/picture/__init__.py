"""A picture of the corpus: its numbers, figures and contact sheets, for the contracts' page and for the report.

`numbers` counts, `figures` draws, `sheets` samples clips and what was rejected, `whole` puts them together; the macros
of picture.html.j2 show them on a page.
"""

from pathlib import Path

TEMPLATES = Path(__file__).parent
