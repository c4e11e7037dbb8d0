"""The image and archive formats that can be read: their common names and file extensions."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Format:
    """An image format that is accepted: its name and its file extensions.

    ``pillow`` says that Pillow decodes it, under this name; the others have decoders of their own.
    """

    name: str
    suffixes: tuple[str, ...]
    pillow: bool = False


FORMATS = (
    Format("JPEG", (".jpg", ".jpeg"), pillow=True),
    Format("PNG", (".png",), pillow=True),
    Format("BMP", (".bmp",), pillow=True),
    Format("TIFF", (".tif", ".tiff")),
    Format("WebP", (".webp",), pillow=True),
    Format("HEIC", (".heic", ".heif", ".hif")),
    Format("AVIF", (".avif",), pillow=True),
    Format("JPEG2000", (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx")),
)
_NAMES = [kind.name for kind in FORMATS]
FORMATS_IN_WORDS = f"{', '.join(_NAMES[:-1])} or {_NAMES[-1]}"
SUFFIXES = tuple(suffix for kind in FORMATS for suffix in kind.suffixes)
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
PACK_ANEW = "Pack the images as .zip, .tar or .tar.gz"
# Archives that can't be read. They are recognised, so that people are told how to repack them.
OTHER_ARCHIVES = (".rar", ".7z", ".gz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".lz4", ".lzma")
# Image formats that may not be readable here. They are sent all the same: intake says why not.
# fmt: off
OTHER_IMAGES = (
    ".jpe", ".jfif", ".dib", ".jxl", ".jxr", ".gif", ".apng", ".tga", ".pbm", ".pgm", ".ppm",
    ".pnm", ".psd", ".exr", ".hdr", ".fits", ".btf", ".dcm", ".dicom", ".svs", ".ndpi", ".mrxs",
    ".scn", ".vms", ".vmu", ".bif", ".czi", ".zvi", ".lsm", ".lif", ".nd2", ".vsi", ".oib", ".oif",
    ".oir", ".qptiff", ".stk", ".ims", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf",
    ".rw2", ".pef", ".srw",
)
# fmt: on
# No image with more pixels is decoded, whatever a laboratory accepts.
MOST_PIXELS = 50_000_000


def is_image_name(name: str) -> bool:
    """Say whether a file's name is that of an image that can be read here."""
    return name.lower().endswith(SUFFIXES)


def is_archive_name(name: str) -> bool:
    """Say whether a file's name is that of an archive, readable here or not."""
    return name.lower().endswith((*ARCHIVES, *OTHER_ARCHIVES))
