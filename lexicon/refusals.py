"""Why a file gets no verdict: a stable code for programs, and a sentence for people.

The door refuses by them what it sees in names, sizes and headers, a decoder what it finds in the
pixels, and a worker what it can't finish.
"""

from __future__ import annotations

from lexicon.formats import FORMATS_IN_WORDS

SENTENCES = {
    "empty": "The file is empty.",
    "too_large": "The file is larger than {limit} MB. Send the crop, not the whole scan.",
    "not_an_image": f"This is not an image that can be read here. Send {FORMATS_IN_WORDS}.",
    "too_many_pixels": "The image has more than {limit} million pixels. Send single-cell crops.",
    "too_small": "The image is smaller than {limit} pixels on a side. Send it at full resolution.",
    "truncated": "The file ends before the image does. Copy or export it again.",
    "animated": "The file holds several pictures. Send each one as a separate file.",
    "unsupported": "{what} can't be read. Save it as an 8-bit RGB PNG.",
    "damaged": "The image data are damaged. Export the file again.",
    "too_much_memory": "Decoding this image takes too much memory. Send the crop, or save the "
    "image as an 8-bit RGB PNG.",
    "stopped_worker": "Reading this image crashed the worker every time. Check the file, then try "
    "again.",
    "missing": "The stored image is gone. Send the file again in a new job.",
    "changed": "The file changed on its way here. Send it again.",
    "let_go": "The same image was deleted while this file arrived. Send the file again.",
    "not_received": "The file never arrived. Send it in a new job.",
    "outside": "Its path points outside the archive. Pack the folder itself.",
    "special": "This is a link or a special file. Put the file itself into the archive.",
    "encrypted": "The file is protected by a password. Pack the archive without one.",
    "packed": "The file is compressed in a way that can't be read here. Pack an ordinary .zip.",
    "corrupt": "The archive is damaged at this file. Pack it again and send it to the same job.",
    "bomb": "The file unpacks to more than {limit} times its size. Send it on its own.",
    "nested": "This is an archive. Send it on its own.",
}


def sentence(code: str, *, limit: float = 0, what: str = "This kind of image file") -> str:
    """Return the sentence of a code; ``limit`` is what was exceeded, ``what`` can't be read."""
    return SENTENCES[code].format(limit=f"{limit:g}", what=what)
