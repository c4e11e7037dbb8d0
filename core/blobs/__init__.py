"""Where bytes are kept: images by their SHA-256, and what is derived from them.

A key is written whole and durably: readers see nothing or all of it, and what was kept survives a
power failure. Writing a key again changes nothing where its bytes are the same, and heals them
where they are not, since a key names its content or its recipe. `keeping` says what every store
promises, `local` keeps files in a folder, `memory` is for tests, `mark` tells a store from an empty
folder, `sound` reads images and checks them by their hash.
"""

from core.blobs.keeping import BlobStore, Flush, Staging, image_key
from core.blobs.local import LocalBlobs
from core.blobs.mark import MARK, Mark
from core.blobs.memory import MemoryBlobs
from core.blobs.sound import sound_image

__all__ = [
    "MARK",
    "BlobStore",
    "Flush",
    "LocalBlobs",
    "Mark",
    "MemoryBlobs",
    "Staging",
    "image_key",
    "sound_image",
]
