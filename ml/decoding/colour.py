"""Colours of any kind → sRGB on white, by the profile that the file carries.

Colours without a profile are taken for sRGB, CMYK for inks that take in what Pillow says. The
gamma and the primaries that a PNG may state without a profile are left aside, as by most programs:
they are written by habit, and nobody looked at the picture that way.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from ml.decoding.refusals import FAULTS

_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_SPACES = {"RGB": "RGB ", "CMYK": "CMYK", "L": "GRAY", "LAB": "Lab "}
# A profile that moves no colour by more is sRGB under one of its many names: the pixels stay.
_SAME = 3


def to_rgb(image: Image.Image, profile: bytes | None = None) -> Image.Image:
    """The image in sRGB, what is transparent on white: the colour of an empty slide."""
    if not image.has_transparency_data:
        return _in_srgb(image, profile)
    if image.mode == "La":
        image = image.convert("LA")
    layered = image.convert("RGBA")
    plain = layered.convert("L" if image.mode == "LA" else "RGB")
    coloured = _in_srgb(plain, profile)
    coloured.putalpha(layered.getchannel("A"))
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), coloured).convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if image.mode == "LAB":
        # A Lab profile says nothing that the numbers do not say themselves.
        return _applied(_from_lab(), image)
    plain = image if image.mode in _SPACES else image.convert("RGB")
    transform = _from_profile(profile, plain.mode) if profile else None
    return _applied(transform, plain) if transform else plain.convert("RGB")


def _applied(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # only where it is converted in place
    return converted


@lru_cache(maxsize=1)
def _from_lab() -> ImageCms.ImageCmsTransform:
    return _built(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "LAB")


@lru_cache(maxsize=8)
def _from_profile(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The way from the profile's colours to sRGB; None if it is none, or can't be used.

    Whole folders carry the same profile, and building the tables takes longer than using them.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space != _SPACES[mode]:
            return None
        transform = _built(source, mode)
        return None if mode == "RGB" and _changes_nothing(transform) else transform
    except (ImageCms.PyCMSError, *FAULTS):
        return None


def _built(source: ImageCms.ImageCmsProfile, mode: str) -> ImageCms.ImageCmsTransform:
    target = ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(source, target, mode, "RGB", _INTENT, _FLAGS)


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    lattice = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(27, 27, 3)
    moved = np.asarray(_applied(transform, Image.fromarray(lattice)))
    return bool(np.abs(moved.astype(np.int16) - lattice).max() <= _SAME)
