"""Every error this product raises on purpose.

HematoVisionError                 message is a sentence for the person, safe to show
├── ConfigurationError            a setting can't be used
├── BadInput                      what a person or a program gave can't be used
├── TooManyAttempts               something secret was guessed wrong too often; wait
├── NotFound                      no such thing, or not for the one who asks
├── NotAllowed                    this person may not do that
├── Conflict                      not in this state
├── Refused                       an upload that is not accepted; carries a code
├── QuotaExceeded                 more than this person, or all together, may keep
├── TooManyJobs                   more than this person, or all together, may have open
├── BadArchive                    an archive that can't be read, or no further
├── BlobMissing                   the bytes behind a key are gone
├── BlobDamaged                   the bytes behind a key are not those that were kept
├── StoreAway                     the image store is not there; also an OSError
├── NoSpace                       there is no room left on the disk; also an OSError
├── DatabaseTrouble               the database can't be used as it is; carries a code
├── QueueUnavailable              the broker can't be reached; the work is kept in SQL
└── LeaseLost                     another worker has this shard now; drop the result
"""

from __future__ import annotations


class HematoVisionError(Exception):
    """Base of all; ``str(error)`` is a sentence that says what to do."""


class ConfigurationError(HematoVisionError):
    """A setting is missing, malformed or contradicts another."""


class BadInput(HematoVisionError):
    """What was given can't be used; the sentence says what to give instead."""


class TooManyAttempts(HematoVisionError):
    """Something secret was guessed wrong too often; ``seconds`` must pass before the next try."""

    def __init__(self, seconds: int, message: str) -> None:
        super().__init__(message)
        self.seconds = seconds


class NotFound(HematoVisionError):
    """There is no such thing, or the one who asks may not know of it."""


class NotAllowed(HematoVisionError):
    """The person is known but lacks the role for this."""


class Conflict(HematoVisionError):
    """The thing exists but is not in a state that allows the request."""


class Refused(HematoVisionError):
    """An uploaded file that is not accepted.

    ``code`` is one of the stable words listed in `core.intake.REASONS`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class QuotaExceeded(HematoVisionError):
    """There is no room left for what was sent; the sentence says how much is used and allowed."""


class TooManyJobs(HematoVisionError):
    """As many jobs are open as may be."""


class BadArchive(HematoVisionError):
    """An archive that is none, damaged, or beyond its caps. What came before in it is kept."""


class BlobMissing(HematoVisionError):
    """The store holds nothing under this key."""


class BlobDamaged(HematoVisionError):
    """What the store holds under this key is not what was kept there."""


class StoreAway(HematoVisionError, OSError):
    """The image store is not there, or is another one: an outage, which says nothing of images."""


class NoSpace(HematoVisionError, OSError):
    """The disk is full, or so full that the rest is kept for the work under way."""


class DatabaseTrouble(HematoVisionError):
    """The database can't be used as it is. ``code`` is a stable word, such as ``read_only``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class QueueUnavailable(HematoVisionError):
    """The broker does not answer. Nothing is lost: the sweep rings again."""


class LeaseLost(HematoVisionError):
    """The fence moved on: the work belongs to another worker."""
