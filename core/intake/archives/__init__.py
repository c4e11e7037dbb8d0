"""Archives of images: read one file at a time, each treated as if it had been sent alone.

`reading` opens an untrusted .zip, .tar or .tar.gz within the limits of `member`, using `zip`, `tar`
and `gunzip`; `names` decodes file names; `taking` hashes, checks and stores the images, and hands
them on in batches. No database and no pages here.
"""

from core.intake.archives.member import Caps, Member
from core.intake.archives.names import decode_names
from core.intake.archives.reading import members
from core.intake.archives.taking import BATCH, ArchiveCounts, take_in

__all__ = ["BATCH", "ArchiveCounts", "Caps", "Member", "decode_names", "members", "take_in"]
