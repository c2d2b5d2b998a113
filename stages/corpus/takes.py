"""One pass over a video's frames: takes, each one face followed without a break, and its landmarks.

Only a square region around the face is kept, at no more resolution than the clip needs: pictures take memory by the
longest take (about 1.2 MB a frame of a clip of 256 px, twice that where the window follows the face), whatever the size
and length of the video.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np

from stages.corpus.faces import FaceDetector, FaceMesh, box, edge, overlap
from stages.corpus.shots import ShotDetector
from stages.params import Crop

LOOK_EVERY_S = 0.2  # while no face is followed
RIVALS_EVERY_S = 1.0
LOST_S = 0.4  # without a face this long, the take is over
REGION = 2.0  # edge of what is kept, in windows: the face may move half a window each way,
FOLLOWED = 3.0  # or a whole one where the window follows it
DETAIL = 1.25  # resolution of what is kept, in px per px of the clip
JUMP_IOU = 0.3  # boxes of one face in successive frames overlap more than this


@dataclass(frozen=True)
class Meant:
    """What the source says of the face to follow.

    Attributes:
        face: x0, y0, x1, y1 of its box, shares of the picture; None: the largest face.
        window: x, y, width, height of the crop, in heights of the picture; None: found from the face.
        zoom: factor on the window that is found.
    """

    face: tuple[float, ...] | None = None
    window: tuple[float, ...] | None = None
    zoom: float = 1.0

    def box(self, shape: tuple[int, ...]) -> np.ndarray | None:
        """Where the face should be, x0 y0 x1 y1 in px of a picture of this shape; None: anywhere."""
        height, width = shape[:2]
        if self.face is not None:
            return np.float32(self.face) * np.float32([width, height, width, height])
        if self.window is None:
            return None
        x, y, side = self.square(shape)
        return np.float32([x + side / 4, y + side / 4, x + 3 * side / 4, y + 3 * side / 4])

    def square(self, shape: tuple[int, ...]) -> np.ndarray | None:
        """The window as a square of its longer side, x y edge in px of a picture of this shape."""
        if self.window is None:
            return None
        x, y, width, height = np.array(self.window) * shape[0]
        side = max(width, height)
        return np.array([x + (width - side) / 2, y + (height - side) / 2, side])


ANYONE = Meant()


@dataclass
class Take:
    """Frames in which one face is followed.

    Attributes:
        start: number of the first frame in the video.
        region: x0, y0, x1, y1 of what is kept of each frame, px of the source.
        scale: px of the kept frames per px of the source.
        frames: the region, (h, w, 3) uint8 each.
        landmarks: (478, 3) in px of the kept frames, or None where the face was not found.
        rival: edge of the largest other face ever seen, as a share of this one's; None where the face is given.
        window: the square to cut out, x y edge in px of the source, where it is given.
    """

    start: int
    region: tuple[int, int, int, int]
    scale: float
    rival: float | None
    window: np.ndarray | None = None
    frames: list[np.ndarray] = field(default_factory=list)
    landmarks: list[np.ndarray | None] = field(default_factory=list)
    first_box: np.ndarray | None = None
    last_box: np.ndarray | None = None

    def add(self, view: np.ndarray, points: np.ndarray | None, face: np.ndarray | None) -> None:
        """One more frame, its landmarks and their box."""
        self.frames.append(view)
        self.landmarks.append(points)
        if face is not None:
            self.first_box = face if self.first_box is None else self.first_box
            self.last_box = face

    def view(self, rgb: np.ndarray) -> np.ndarray:
        """The region of a whole frame, at the take's scale."""
        x0, y0, x1, y1 = self.region
        part = rgb[y0:y1, x0:x1]
        if self.scale == 1:
            return part.copy()
        return shrunk(part, round((x1 - x0) * self.scale), round((y1 - y0) * self.scale))

    @property
    def end(self) -> int:
        """Number of the first frame after it."""
        return self.start + len(self.frames)

    @property
    def lost(self) -> int:
        """How many of the last frames have no face."""
        return next(i for i, points in enumerate(reversed(self.landmarks)) if points is not None)

    def trimmed(self) -> Take:
        """Without the frames after the last one with a face."""
        end = len(self.frames) - self.lost
        del self.frames[end:], self.landmarks[end:]
        return self


class TakeFinder:
    """Finds takes in one video after another; holds the face networks. A context manager."""

    def __init__(self, params: Crop) -> None:
        self._params = params
        self._detector, self._still, self._mesh = FaceDetector(), FaceMesh(static=True), FaceMesh()

    def __enter__(self) -> TakeFinder:
        return self

    def __exit__(self, *_: object) -> None:
        self._detector.__exit__()
        self._still.__exit__()
        self._mesh.__exit__()

    def takes(self, frames: Iterable[np.ndarray], meant: Meant = ANYONE) -> Iterator[Take]:
        """Takes of a video's frames (at params.fps), in order, none longer than params.max_seconds.

        A take ends with the shot, when its face is lost, jumps to another place, strays from where it began or leaves
        the region, and at the greatest length. Of several faces the one that is meant is followed, else the largest.
        """
        take, shot, look_at = None, None, 0
        for number, rgb in enumerate(frames):
            if take is not None:
                view = take.view(rgb)
                if shot.is_cut(view) or not self._follow(take, view):
                    yield take.trimmed()
                    take, look_at = None, number
            if take is None and number >= look_at:
                take = self._begin(number, rgb, meant)
                look_at = number + self._frames(LOOK_EVERY_S)
                if take is not None:
                    shot = ShotDetector(self._params.shot_threshold)
                    shot.is_cut(take.frames[0])
            if take is not None and (len(take.frames) == self._longest or take.lost >= self._frames(LOST_S)):
                yield take.trimmed()
                take, look_at = None, number + 1
        if take is not None:
            yield take.trimmed()

    @property
    def _longest(self) -> int:
        return self._frames(self._params.max_seconds)

    def _frames(self, seconds: float) -> int:
        return max(1, round(seconds * self._params.fps))

    def _begin(self, number: int, rgb: np.ndarray, meant: Meant) -> Take | None:
        points, rival = self._find(rgb, meant.box(rgb.shape))
        if points is None:
            return None
        given = meant.square(rgb.shape)
        if given is None:
            x0, y0, x1, y1 = box(points)
            window = edge(box(points)) * (1 + 2 * self._params.margin) * meant.zoom
            reach = FOLLOWED if self._params.smoothing_s else REGION
            region = _square((x0 + x1) / 2, (y0 + y1) / 2, reach * window, rgb.shape)
        else:
            x, y, window = given
            region = _square(x + window / 2, y + window / 2, window, rgb.shape)
        scale = min(1.0, DETAIL * self._params.size / window)
        take = Take(number, region, scale, rival, given)
        view = take.view(rgb)
        corner = np.array([*region[:2], 0], np.float32)
        expected = box((points - corner) * np.float32(scale))
        self._mesh.reset()
        found = self._mesh.landmarks(_only(view, expected))
        if found is None or overlap(box(found), expected) < JUMP_IOU or _leaves(view, found, box(found)):
            return None
        take.add(view, found, box(found))
        return take

    def _find(self, rgb: np.ndarray, place: np.ndarray | None) -> tuple[np.ndarray | None, float | None]:
        """Landmarks of the face to follow, in px of the frame, and the first value of `Take.rival`."""
        if place is None:
            boxes = self._detector.boxes(rgb)
            rival = float(edge(boxes[1]) / edge(boxes[0])) if len(boxes) > 1 else 0.0
            return (self._exact(rgb, boxes[0]), rival) if len(boxes) else (None, None)
        points = self._exact(rgb, place)
        if points is None:
            return None, None
        x, y = points[:468, :2].mean(axis=0)
        reach = edge(place)
        inside = place[0] - reach / 2 < x < place[2] + reach / 2 and place[1] - reach / 2 < y < place[3] + reach / 2
        return (points if inside else None), None

    def _exact(self, rgb: np.ndarray, rough: np.ndarray) -> np.ndarray | None:
        """Landmarks of the face in the detector's box, in px of the frame."""
        x0, y0, x1, y1 = _square(*((rough[:2] + rough[2:]) / 2), 2 * edge(rough), rgb.shape)
        if x1 <= x0 or y1 <= y0:  # a given place may lie outside the picture
            return None
        points = self._still.landmarks(np.ascontiguousarray(rgb[y0:y1, x0:x1]))
        return None if points is None else points + np.array([x0, y0, 0], np.float32)

    def _follow(self, take: Take, view: np.ndarray) -> bool:
        """Add a frame to the take; False if it does not belong there."""
        points = self._mesh.landmarks(view)
        face = None if points is None else box(points)
        if face is not None:
            if overlap(face, take.last_box) < JUMP_IOU or _leaves(view, points, face):
                return False
            if overlap(face, take.first_box) < self._params.min_overlap:
                return False
        take.add(view, points, face)
        if face is not None and take.rival is not None and len(take.frames) % self._frames(RIVALS_EVERY_S) == 0:
            take.rival = max(take.rival, self._rival(view, face))
        return True

    def _rival(self, view: np.ndarray, own: np.ndarray) -> float:
        others = [other for other in self._detector.boxes(view) if overlap(other, own) < 0.1]
        return float(edge(others[0]) / edge(own)) if others else 0.0


def shrunk(rgb: np.ndarray, width: int, height: int) -> np.ndarray:
    """A picture at a smaller size: halved as often as can be, then bilinear (several times faster than area means)."""
    while rgb.shape[1] >= 2 * width and rgb.shape[0] >= 2 * height:
        rgb = cv2.resize(rgb, (rgb.shape[1] // 2, rgb.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR)


def _leaves(view: np.ndarray, points: np.ndarray, face: np.ndarray) -> bool:
    """Is the face's middle at the view's edge?"""
    height, width = view.shape[:2]
    x, y = points[:468, :2].mean(axis=0)
    reach = edge(face) / 4
    return not (reach < x < width - reach and reach < y < height - reach)


def _square(x: float, y: float, side: float, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """x0, y0, x1, y1 of a square around a point, clipped to the frame."""
    low = np.maximum(np.round([x - side / 2, y - side / 2]), 0).astype(int)
    high = np.minimum(np.round([x + side / 2, y + side / 2]).astype(int), [shape[1], shape[0]])
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _only(view: np.ndarray, face: np.ndarray) -> np.ndarray:
    """The view with everything grey that is far from the face, so that no other face is taken up."""
    x0, y0, x1, y1 = _square(*((face[:2] + face[2:]) / 2), 2 * edge(face), view.shape)
    alone = np.full_like(view, 128)
    alone[y0:y1, x0:x1] = view[y0:y1, x0:x1]
    return alone
