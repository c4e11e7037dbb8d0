"""Every error this product raises on purpose.

HematoVisionError                 message is a sentence for the person, safe to show
├── ConfigurationError            a setting can't be used
├── BadInput                      what a person or a program gave can't be used
├── TooManyAttempts               something secret was guessed wrong too often; wait
├── NotFound                      it does not exist, or this person may not see it
├── NotAllowed                    this person may not do that
├── Conflict                      not possible in the present state
├── Refused                       an upload that is not accepted; carries a code
├── QuotaExceeded                 more bytes than one person, or everyone together, may keep
├── TooManyJobs                   more open jobs than one person, or everyone together, may have
├── BadArchive                    an archive that can't be read, or not to its end
├── BlobMissing                   the bytes behind a key are gone
├── BlobDamaged                   the bytes behind a key are not the ones that were stored
├── StoreAway                     the image store is not there; also an OSError
├── NoSpace                       the disk is full; also an OSError
├── DatabaseTrouble               the database can't be used as it is; carries a code
├── QueueUnavailable              the broker can't be reached; the work is kept in SQL
└── LeaseLost                     another worker has this shard now; drop the result
"""

from __future__ import annotations


class HematoVisionError(Exception):
    """The base of all our errors; ``str(error)`` is a sentence that says what to do."""


class ConfigurationError(HematoVisionError):
    """A setting is missing, malformed or contradicts another."""


class BadInput(HematoVisionError):
    """The input can't be used; the sentence says what to give instead."""


class TooManyAttempts(HematoVisionError):
    """Something secret was guessed wrong too often; ``seconds`` must pass before the next try."""

    def __init__(self, seconds: int, message: str) -> None:
        super().__init__(message)
        self.seconds = seconds


class NotFound(HematoVisionError):
    """It does not exist, or the person asking may not know that it does."""


class NotAllowed(HematoVisionError):
    """The person is known but lacks the role for this."""


class Conflict(HematoVisionError):
    """The thing exists but is not in a state that allows the request."""


class Refused(HematoVisionError):
    """An uploaded file that is not accepted.

    ``code`` is one of the stable words listed in `lexicon.refusals`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class QuotaExceeded(HematoVisionError):
    """The quota has no room for the upload; the sentence gives the amounts used and allowed."""


class TooManyJobs(HematoVisionError):
    """The largest allowed number of jobs is already open."""


class BadArchive(HematoVisionError):
    """The file is not an archive, is damaged, or exceeds a limit. Files before that are kept."""


class BlobMissing(HematoVisionError):
    """The store holds nothing under this key."""


class BlobDamaged(HematoVisionError):
    """What the store holds under this key is not what was put there."""


class StoreAway(HematoVisionError, OSError):
    """The image store is missing, or is another one. This outage says nothing about any image."""


class NoSpace(HematoVisionError, OSError):
    """The disk is full, or what is left is reserved for the work under way."""


class DatabaseTrouble(HematoVisionError):
    """The database can't be used as it is. ``code`` is a stable word, such as ``read_only``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class QueueUnavailable(HematoVisionError):
    """The broker does not answer. Nothing is lost: the sweep sends the message again."""


class LeaseLost(HematoVisionError):
    """The fence has risen: the work now belongs to another worker."""
