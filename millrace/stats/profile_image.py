"""Images as projections of a small grey copy, and as brightness, contrast, sharpness and size.

Claim: camera, lighting, focus, crop and format changes show in at least one part; what is in the picture shows only
as far as it moves the small copy (give embeddings as a vector column for more). Unit: one image. The copy is 16 × 16
block means of the grey image scaled to [0, 1]; sharpness is the mean squared step between neighbouring pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from millrace.base.errors import MillraceError
from millrace.stats import profile_vector as vector
from millrace.stats.verdict import Floats

SIDE = 16
_GREY = np.array([0.299, 0.587, 0.114])


def measures(images: Any, name: str) -> dict[str, Floats]:
    """Parts of images given as (rows, height, width[, channels]) or as a list of such arrays, None where missing.

    Integer images are scaled by their dtype's maximum. Returns float64 (rows,) a part, NaN for a missing image.
    Errors: stats.shape, stats.data.
    """
    rows = len(images)
    small = np.full((rows, SIDE * SIDE), np.nan)
    own = np.full((5, rows), np.nan)
    for row, image in enumerate(images):
        if image is None:
            continue
        grey = _grey(np.asarray(image), name)
        small[row] = _shrink(grey).ravel()
        steps = [np.square(np.diff(grey, axis=axis)) for axis in (0, 1) if grey.shape[axis] > 1]
        sharp = float(np.sqrt(np.mean([s.mean() for s in steps]))) if steps else 0.0
        own[:, row] = (grey.mean(), grey.std(), sharp, grey.shape[0], grey.shape[1])
    named = dict(zip(("brightness", "contrast", "sharpness", "height", "width"), own, strict=True))
    return vector.measures(small) | named


def _grey(image: Any, name: str) -> Floats:
    if image.ndim not in (2, 3) or 0 in image.shape or image.dtype.kind not in "fiub":
        raise MillraceError("stats.shape", f"column {name!r} has an image of shape {image.shape}, {image.dtype}",
                            "give (height, width) or (height, width, channels) of numbers")  # fmt: skip
    top = float(np.iinfo(image.dtype).max) if image.dtype.kind in "iu" else 1.0
    scaled = image.astype(np.float64) / top
    if image.ndim == 3:
        scaled = scaled[..., :3] @ _GREY if image.shape[2] >= 3 else scaled[..., 0]
    return np.asarray(scaled, np.float64)


def _shrink(grey: Floats) -> Floats:
    """Block means of a grey image: float64 (16, 16); a side shorter than 16 repeats its pixels."""
    for axis in (0, 1):
        size = grey.shape[axis]
        start = np.arange(SIDE) * size // SIDE
        end = np.maximum((np.arange(SIDE) + 1) * size // SIDE, start + 1)
        running = np.cumsum(np.insert(grey, 0, 0.0, axis=axis), axis=axis)
        span = (end - start).reshape((-1, 1) if axis == 0 else (1, -1))
        grey = (running.take(end, axis=axis) - running.take(start, axis=axis)) / span
    return grey
