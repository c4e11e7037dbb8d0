"""Two fingerprints → whether both show one scene, and whether they are copies of one photograph.

Keypoints that agree on one affine transform (RANSAC) show that the pictures share a scene. The
pictures laid one over the other then tell copies, which agree almost to the last grey value, from
the same cells photographed twice, which differ in focus and light.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ml.data.fingerprints import MIRRORED, Fingerprint, Floats, rooted, unfilled

# Keypoints that must agree. Pictures of different scenes reach 12, copies have 34 or more.
ENOUGH = 15
# Correlation of the overlaid pictures for one scene, and for copies of one photograph.
# (Measured on bccd4: copies 0.9954 or more, the same cells photographed twice 0.9945 or less.)
SAME_SCENE, SAME_PHOTOGRAPH = 0.9, 0.995
# Blur, in pixels of the half picture, that makes a sharp copy and a resampled one alike.
BLUR = 1.5
# How far, in pixels, a keypoint may lie from where the transform puts it: at first, then refined.
REACHES = (3.0, 2.0, 1.2)
# A transform may zoom by this much at most, or it has only found a way to bunch the keypoints.
ZOOM = 2.0
# Pixels that must overlap for their correlation to mean something.
OVERLAP = 400


@dataclass(frozen=True)
class Link:
    """Two images, by number, that show one scene.

    `agreeing` is how many keypoints agree, `likeness` the correlation of the overlaid pictures.
    """

    first: int
    second: int
    agreeing: int
    likeness: float

    @property
    def copies(self) -> bool:
        """Whether both are made from one photograph."""
        return self.likeness >= SAME_PHOTOGRAPH


@dataclass(frozen=True)
class Fit:
    """How one picture lies over another: `matrix` is float (2, 3), applied after any mirroring."""

    matrix: Any
    mirrored: bool
    agreeing: int


def find_link(first: int, second: int, left: Fingerprint, right: Fingerprint) -> Link | None:
    """What binds the images numbered `first` and `second`; None if they show different scenes."""
    fits = [_fit(left, right, mirrored) for mirrored in (False, True)]
    best = max((fit for fit in fits if fit), key=lambda fit: fit.agreeing, default=None)
    if best is None:
        return None
    likeness = _likeness(left, right, best)
    return Link(first, second, best.agreeing, likeness) if likeness >= SAME_SCENE else None


def _fit(left: Fingerprint, right: Fingerprint, mirrored: bool) -> Fit | None:
    """The transform from `right` to `left`, if enough keypoints agree on it."""
    there, here = _pairs(left, right, mirrored)
    if len(here) < ENOUGH:
        return None
    matrix, agreeing = cv2.estimateAffine2D(
        there, here, ransacReprojThreshold=REACHES[0], maxIters=500, refineIters=0
    )
    if matrix is None or agreeing.sum() < ENOUGH or not _plausible(matrix):
        return None
    return Fit(_refined(there, here, matrix), mirrored, int(agreeing.sum()))


def _pairs(left: Fingerprint, right: Fingerprint, mirrored: bool) -> tuple[Floats, Floats]:
    """Points of `right` and of `left` whose descriptors are each other's nearest."""
    ours, theirs, points = rooted(left.descriptors), rooted(right.descriptors), right.points
    if not len(ours) or not len(theirs):
        return points[:0], points[:0]
    if mirrored:
        theirs = theirs[:, MIRRORED]
        points = points * np.array([-1, 1], np.float32)
        points[:, 0] += right.width - 1
    closeness = ours @ theirs.T
    forward, backward = closeness.argmax(axis=1), closeness.argmax(axis=0)
    mutual = np.flatnonzero(backward[forward] == np.arange(len(forward)))
    return points[forward[mutual]], left.points[mutual]


def _plausible(matrix: Any) -> bool:
    stretches = np.linalg.svd(matrix[:, :2], compute_uv=False)
    return bool(stretches[0] < ZOOM and stretches[1] > 1 / ZOOM)


def _refined(there: Floats, here: Floats, matrix: Any) -> Any:
    """Least squares over the keypoints that agree, more strictly each time."""
    spread = np.column_stack([there, np.ones(len(there))])
    for reach in REACHES[1:]:
        near = np.linalg.norm(spread @ matrix.T - here, axis=1) < reach
        if near.sum() >= ENOUGH // 2:
            matrix = np.linalg.lstsq(spread[near], here[near], rcond=None)[0].T
    return matrix


def _likeness(left: Fingerprint, right: Fingerprint, fit: Fit) -> float:
    """Correlation, -1 to 1, of the pictures where both show something; 0 where they don't."""
    theirs = np.ascontiguousarray(right.grey[:, ::-1]) if fit.mirrored else right.grey
    size = (left.grey.shape[1], left.grey.shape[0])
    matrix = _halved(fit.matrix)
    laid = cv2.warpAffine(theirs, matrix, size, flags=cv2.INTER_LINEAR)
    shown = cv2.warpAffine(unfilled(theirs, margin=3), matrix, size, flags=cv2.INTER_NEAREST)
    both = (cv2.erode(shown, np.ones((9, 9), np.uint8)) > 0) & (unfilled(left.grey, margin=3) > 0)
    if both.sum() < OVERLAP:
        return 0.0
    ours, theirs = (cv2.GaussianBlur(grey, (0, 0), BLUR)[both] for grey in (left.grey, laid))
    return _correlation(ours, theirs)


def _halved(matrix: Any) -> Any:
    """The same transform for pictures of half the size; a pixel's middle lies at its half."""
    half = np.array(matrix, np.float64)
    half[:, 2] = (half[:, 2] + half[:, :2].sum(axis=1) / 2 - 0.5) / 2
    return half


def _correlation(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> float:
    if ours.std() == 0 or theirs.std() == 0:
        return 0.0
    return float(np.corrcoef(ours, theirs)[0, 1])
