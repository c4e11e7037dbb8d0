"""The images and archives that are read, by the names people know and by the ends of file names."""

from __future__ import annotations

FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WebP", "HEIC", "AVIF", "JPEG2000")
FORMATS_IN_WORDS = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
SUFFIXES = (
    *(".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".heic", ".heif", ".hif"),
    *(".avif", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
)
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")
PACK_ANEW = "Pack the images as .zip, .tar or .tar.gz"
# Other archives: told apart from images, so that somebody is told how to pack them anew.
OTHER_ARCHIVES = (".rar", ".7z", ".gz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".lz4", ".lzma")
# Images of kinds that may not be read here, which somebody meant to send: the door says so.
# fmt: off
OTHER_IMAGES = (
    ".jpe", ".jfif", ".dib", ".jxl", ".jxr", ".gif", ".apng", ".tga", ".pbm", ".pgm", ".ppm",
    ".pnm", ".psd", ".exr", ".hdr", ".fits", ".btf", ".dcm", ".dicom", ".svs", ".ndpi", ".mrxs",
    ".scn", ".vms", ".vmu", ".bif", ".czi", ".zvi", ".lsm", ".lif", ".nd2", ".vsi", ".oib", ".oif",
    ".oir", ".qptiff", ".stk", ".ims", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf",
    ".rw2", ".pef", ".srw",
)
# fmt: on
# The most pixels of an image that is decoded, whatever a laboratory accepts.
MOST_PIXELS = 50_000_000


def is_image_name(name: str) -> bool:
    """Say whether a file is an image by its name, of a kind that is read here."""
    return name.lower().endswith(SUFFIXES)


def is_archive_name(name: str) -> bool:
    """Say whether a file is an archive by its name, of a kind that is read here or another."""
    return name.lower().endswith((*ARCHIVES, *OTHER_ARCHIVES))
