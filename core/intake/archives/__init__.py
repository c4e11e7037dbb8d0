"""Archives of images: read a file at a time, and taken in as if each had been sent alone.

`reading` opens a .zip, .tar or .tar.gz that nobody vouches for, within the caps of `member`, by
`zip`, `tar` and `gunzip`; `names` decodes what its files are called; `taking` has its images
hashed, looked at and kept, and hands them on in batches. No database and no pages here.
"""

from core.intake.archives.member import Caps, Member
from core.intake.archives.names import decode_names
from core.intake.archives.reading import members
from core.intake.archives.taking import BATCH, Taken, take_in

__all__ = ["BATCH", "Caps", "Member", "Taken", "decode_names", "members", "take_in"]
