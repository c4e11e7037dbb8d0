"""File names that do not say how they are encoded: read as UTF-8, else as what they look like.

A .zip without the UTF-8 flag, a tar from an old system and a disk with names of several decades
hold bytes. All such names of one archive are taken to be encoded alike, and the encoding is the one
in which they cost the fewest bits: common letters cost few, rare signs many, as do capitals amid
small letters, and letters beside those of another writing. charset-normalizer and its like need
some sentences; a file's name has two or three words, or one letter.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from core.intake.archives import letters

_ASCII_BITS = 5.0
_SIGN, _LATIN, _RARE, _ALIEN = 9.0, 11.0, 15.0, 20.0
_CAPITAL, _CAPITAL_AMID = 1.5, 9.0
_BESIDE_ANOTHER_WRITING = 3.0
# What may be spent on names: so many say how all are encoded, and none that is too long to be one.
NAMES_ASKED = 200
_LONG = 255
_LETTERS_KNOWN = 2048
# Signs that people put into names.
_SIGNS = frozenset("–—’‘“”«»°µ№×²³±§·…¿¡ºª、。・（）【】「」《》：，～　ー々〇！？＋－＆")  # noqa: RUF001
Bits = Callable[[str], float]


@dataclass(frozen=True, slots=True)
class Encoding:
    """How an archive's names are encoded that are not UTF-8."""

    codec: str
    letter: Bits | None = None

    def decode(self, raw: bytes) -> str:
        """Return a name. No byte of it is lost: what is no letter shows as its number."""
        text = _as_utf8(raw)
        if text is not None and (text.isascii() or self.letter is None or len(text) > _LONG):
            return text
        other = raw.decode(self.codec, "backslashreplace")
        if text is None or self.letter is None:
            return other
        # Two letters of GBK or of Shift-JIS may be UTF-8 by chance.
        by_chance = _text_bits(other, self.letter) < _text_bits(text, _least_bits)
        return other if by_chance else text

    def restore(self, name: str) -> str:
        """Return a name whose bytes were kept as surrogates by a decoder for UTF-8."""
        return self.decode(name.encode("utf-8", "surrogateescape"))


def decode_names(names: Sequence[str]) -> list[str]:
    """Return names as they are meant whose bytes were kept as surrogates, as of files on a disk."""
    unknown = [name.encode("utf-8", "surrogateescape") for name in names if is_undecoded(name)]
    encoding = guess(unknown, dos=False)
    return [encoding.restore(name) if unknown and is_undecoded(name) else name for name in names]


def is_undecoded(name: str) -> bool:
    """Return whether a name holds surrogates, as which Python keeps bytes that are not UTF-8."""
    return not name.isascii() and any("\udc80" <= character <= "\udcff" for character in name)


def guess(names: Sequence[bytes], *, dos: bool) -> Encoding:
    """Return how names are encoded that do not say so, all of them alike.

    ``dos`` prefers the encodings that .zip programs of DOS and Windows use where nothing else
    decides; else those of Windows and Unix are preferred.
    """
    others = [raw for raw in names if _as_utf8(raw) is None and len(raw) <= _LONG]
    if not others:
        return Encoding("cp437" if dos else "latin-1")
    others = others[:NAMES_ASKED]
    best = min(
        _candidates(),
        key=lambda candidate: (
            candidate.bits(others) + (candidate.dos if dos else candidate.windows)
        ),
    )
    return Encoding(best.codec, best.letter)


def _as_utf8(raw: bytes) -> str | None:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


@lru_cache(_LETTERS_KNOWN)
def _least_bits(character: str) -> float:
    return min(candidate.letter(character) for candidate in _candidates())


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An encoding; the bits of each of its letters, and those that it costs to be chosen."""

    codec: str
    letter: Bits
    dos: float
    windows: float

    def bits(self, names: Sequence[bytes]) -> float:
        """Return what names cost in this encoding; infinity where they can't be in it."""
        try:
            return sum(_text_bits(raw.decode(self.codec), self.letter) for raw in names)
        except UnicodeDecodeError:
            return math.inf


def _text_bits(text: str, letter: Bits) -> float:
    total = 0.0
    before = " "
    for character in text:
        if character.isascii():
            # Hardly a separator: rather the second half of a letter.
            total += _RARE if character == "\\" else _ASCII_BITS
            if not before.isascii() and character.isalpha() and not _is_latin(before):
                total += _BESIDE_ANOTHER_WRITING
        else:
            total += letter(character.lower()) + _case_bits(before, character)
            if before.isascii() and before.isalpha() and not _is_latin(character):
                total += _BESIDE_ANOTHER_WRITING
        before = character
    return total


def _case_bits(before: str, character: str) -> float:
    if character.islower() or not character.isupper():
        return 0.0
    return _CAPITAL_AMID if before.islower() else _CAPITAL


@lru_cache(_LETTERS_KNOWN)
def _is_latin(character: str) -> bool:
    return not character.isalpha() or unicodedata.name(character, "").startswith("LATIN")


def _alphabet(alphabet: str) -> Bits:
    """Return the bits of the letters of an alphabet, which stand in order of frequency."""
    costs = {letter: 3.5 + math.log2(1 + rank / 5) for rank, letter in enumerate(alphabet)}

    @lru_cache(_LETTERS_KNOWN)
    def bits(character: str) -> float:
        return costs[character] if character in costs else _other_bits(character)

    return bits


def _other_bits(character: str) -> float:
    if character in _SIGNS:
        return _SIGN
    if not character.isprintable() or (character > "\uffff" and character.isalpha()):
        return 2 * _ALIEN
    if "\u2500" <= character <= "\u25ff":
        return _ALIEN
    if _is_latin(character) and character.isalpha():
        return _LATIN
    return _RARE if character.isalnum() else _ALIEN - 3


def _ideographs(
    common: str, codec: str, usual: tuple[int, int], rather: float = 12.0, syllable: float = 14.0
) -> Bits:
    """Return the bits of letters that a national code orders by use.

    ``rather`` is what those cost whose first byte is in ``usual``, ``syllable`` what kana do.
    """
    common_characters = frozenset(common)

    @lru_cache(_LETTERS_KNOWN)
    def bits(character: str) -> float:
        if character in common_characters:
            return 8.0
        if "\u3041" <= character <= "\u30fc" and character.isalpha():
            return syllable
        if character in _SIGNS or "\uff01" <= character <= "\uff5e":
            return _SIGN
        try:
            code = character.encode(codec)
        except UnicodeEncodeError:
            return _ALIEN + 4
        if not character.isalpha():
            return _RARE + 2
        return rather if len(code) == 2 and usual[0] <= code[0] <= usual[1] else 17.0

    return bits


# By encoding: its alphabets, and the bits it costs to be chosen, for a .zip and elsewhere.
_ALPHABETS = (
    ("cp850", letters.WESTERN, 0.0, 5.0),
    ("cp437", letters.WESTERN, 0.5, 5.5),
    ("cp1252", letters.WESTERN, 3.0, 0.0),
    ("latin-1", letters.WESTERN, 4.0, 1.0),
    ("mac_roman", letters.WESTERN, 6.0, 5.0),
    ("cp852", letters.CENTRAL, 2.0, 6.0),
    ("cp1250", letters.CENTRAL, 5.0, 2.0),
    ("iso8859_2", letters.CENTRAL, 6.0, 2.5),
    ("cp866", (letters.CYRILLIC,), 2.0, 5.0),
    ("cp1251", (letters.CYRILLIC,), 3.0, 2.0),
    ("koi8_r", (letters.CYRILLIC,), 6.0, 4.0),
    ("cp737", (letters.GREEK,), 4.0, 7.0),
    ("cp1253", (letters.GREEK,), 5.0, 3.0),
    ("cp857", (letters.TURKISH,), 3.0, 7.0),
    ("cp1254", (letters.TURKISH,), 5.0, 2.0),
    ("cp862", (letters.HEBREW,), 4.0, 7.0),
    ("cp1255", (letters.HEBREW,), 5.0, 3.0),
    ("cp720", (letters.ARABIC,), 4.0, 7.0),
    ("cp1256", (letters.ARABIC,), 5.0, 3.0),
    ("cp874", (letters.THAI,), 4.0, 4.0),
)


@cache
def _candidates() -> tuple[_Candidate, ...]:
    japanese = _ideographs(letters.JAPANESE, "euc_jp", (0xB0, 0xCF), 12.0, syllable=6.5)
    korean = _ideographs(letters.KOREAN, "euc_kr", (0xB0, 0xC8), 10.0)
    return (
        *(
            _Candidate(codec, _alphabet(alphabet), dos, windows)
            for codec, alphabets, dos, windows in _ALPHABETS
            for alphabet in alphabets
        ),
        _Candidate("cp932", japanese, 2.0, 3.0),
        _Candidate("euc_jp", japanese, 7.0, 4.0),
        _Candidate("gb18030", _ideographs(letters.CHINESE, "gb2312", (0xB0, 0xD7)), 2.0, 2.0),
        _Candidate("cp950", _ideographs(letters.TRADITIONAL, "big5", (0xA4, 0xC6)), 3.0, 3.0),
        _Candidate("cp949", korean, 3.0, 3.0),
    )
