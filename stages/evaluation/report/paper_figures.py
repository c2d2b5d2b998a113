"""What became of the paper's figures: where on the page each one's question is answered, or why it is not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A figure of the paper.

    Attributes:
        place: the page's section that shows it; None: it is not shown, and `remark` says why.
    """

    number: str
    shows: str
    place: str | None
    remark: str = ""


FIGURES = (
    Figure("3", "methods side by side", "gallery", "other authors' methods where their videos were given"),
    Figure("5", "StyleTalk's distortions and weak styles", None, "needs StyleTalk's videos in data/methods/StyleTalk"),
    Figure("7", "songs, other languages; DiffTalk", None, "no such sound is in the test list: dreamtalk generate"),
    Figure("8", "styles predicted from sound", "gallery", "the rows “predicted”"),
    Figure("9", "one sound, several portraits", "portraits"),
    Figure("11", "TH-PAD, and the lip expert's ablation", "gallery", "TH-PAD where its videos were given"),
    Figure("12", "the style predictor's ablation", "gallery", "the strips of predicted styles"),
    Figure("13", "a map of style codes", "styles"),
    Figure("14", "style intensity over the guidance scale", "intensity"),
    Figure("4, 6, 10", "not described by the paper's text", None, "what they show cannot be told from it"),
)
