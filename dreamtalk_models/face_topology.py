"""MediaPipe's face mesh as data: which of its 468 vertices are lips, eyelids, brows, outline and iBUG landmarks.

Indices are those of the canonical face model (mediapipe/modules/face_geometry/data); left and right are the
subject's own. The iris points 468..477 are no part of the mesh.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import combinations

VERTICES = 468
IRISES = 10

OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
RIGHT_BROW = (46, 52, 53, 55, 63, 65, 66, 70, 105, 107)
LEFT_BROW = (276, 282, 283, 285, 293, 295, 296, 300, 334, 336)
CONTOUR = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)

STABLE = (
    *(168, 6, 197, 195, 5, 122, 351, 193, 417, 196, 419, 174, 399, 236, 456, 3, 248),  # bridge of the nose
    *(33, 133, 263, 362),  # corners of the eyes
    *(10, 109, 338, 67, 297, 103, 332, 54, 284, 21, 251, 162, 389, 127, 356, 34, 264),  # forehead and temples
)
"""Vertices that the skull carries: expression moves them least, so they define the pose."""

LANDMARKS68 = (
    # jaw, from the subject's right ear to the left one
    *((127, 127), (234, 234), (93, 93), (132, 58), (58, 172), (136, 136), (150, 150), (176, 176), (152, 152)),
    *((400, 400), (379, 379), (365, 365), (397, 288), (361, 361), (323, 323), (454, 454), (356, 356)),
    # brows
    *((70, 70), (63, 63), (105, 105), (66, 66), (107, 107)),
    *((336, 336), (296, 296), (334, 334), (293, 293), (300, 300)),
    # bridge and underside of the nose
    *((168, 6), (197, 195), (5, 5), (4, 4), (75, 75), (97, 97), (2, 2), (326, 326), (305, 305)),
    # eyes
    *((33, 33), (160, 160), (158, 158), (133, 133), (153, 153), (144, 144)),
    *((362, 362), (385, 385), (387, 387), (263, 263), (373, 373), (380, 380)),
    # outer lips, inner lips
    *((61, 61), (39, 39), (37, 37), (0, 0), (267, 267), (269, 269), (291, 291)),
    *((321, 321), (314, 314), (17, 17), (84, 84), (91, 91)),
    *((78, 78), (82, 82), (13, 13), (312, 312), (308, 308), (317, 317), (14, 14), (87, 87)),
)
"""Each of the 68 iBUG landmarks as the mean of two vertices, or of one taken twice."""


def triangles(edges: Iterable[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """The faces of a triangle mesh from its edges, in ascending order.

    A face is three vertices joined by three edges, unless each of those edges has two other faces already: such a
    triple (MediaPipe's mesh has two, at the wings of the nose) is the seam around three faces.

    Args:
        edges: pairs of vertices in any order and direction, such as mediapipe's FACEMESH_TESSELATION (852 faces).
    """
    neighbours: dict[int, set[int]] = {}
    for a, b in edges:
        neighbours.setdefault(a, set()).add(b)
        neighbours.setdefault(b, set()).add(a)
    cliques = sorted(
        (a, b, c) for a in neighbours for b in neighbours[a] for c in neighbours[a] & neighbours[b] if a < b < c
    )
    faces_at = Counter(side for clique in cliques for side in combinations(clique, 2))
    return [clique for clique in cliques if any(faces_at[side] <= 2 for side in combinations(clique, 2))]
