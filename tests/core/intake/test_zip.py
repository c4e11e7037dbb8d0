"""Zips of every kind, and zips that no program makes."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest

from core.intake.archives import Caps
from tests.core.archiving import Entry, read, zip_of

A, B = Entry(b"a.png", b"cell a" * 100), Entry(b"b.png", b"cell b" * 100, method=0)
BOTH = {"a.png": A.data, "b.png": B.data}


@pytest.mark.parametrize(
    "before", [b"PK\x07\x08", b"PK00", b"MZ" + b"\x90" * 5000, b"#!/bin/sh\nexit\n", b"PK"]
)
@pytest.mark.parametrize("shifted", [True, False])
def test_what_stands_before_a_zip_does_no_harm(before: bytes, shifted: bool) -> None:
    contents = read(zip_of(A, B, before=before, shifted=shifted))
    assert (contents.files, contents.refused, contents.problem) == (BOTH, {}, "")


def test_a_comment_may_hold_what_looks_like_the_end() -> None:
    for comment in (b"x" * 65_535, b"PK\5\6" * 20, zip_of(A)[-22:]):
        assert read(zip_of(A, B, comment=comment)).files == BOTH


@pytest.mark.parametrize(
    ("raw", "flags", "extra"),
    [
        ("Müller/ö.png".encode(), 0x800, b""),
        ("Müller/ö.png".encode(), 0, b""),
        ("Müller/ö.png".encode("cp850"), 0, b""),
        ("Müller/ö.png".encode("cp850"), 0x800, b""),
        (b"M_ller/_.png", 0, "Müller/ö.png".encode()),
    ],
)
def test_a_name_is_read_however_it_says_what_it_is(raw: bytes, flags: int, extra: bytes) -> None:
    field = struct.pack("<2HBL", 0x7075, 5 + len(extra), 1, zlib.crc32(raw)) + extra
    entry = Entry(raw, b"cell", flags, extra=field if extra else b"")
    assert read(zip_of(A, entry)).files == {"a.png": A.data, "Müller/ö.png": b"cell"}


def test_a_unicode_path_of_another_name_is_not_believed() -> None:
    field = struct.pack("<2HBL", 0x7075, 10, 1, 12345) + b"x.png"
    assert set(read(zip_of(Entry(b"a.png", b"cell", extra=field))).files) == {"a.png"}


@pytest.mark.parametrize(
    "extra", [b"\1\0", b"\xff\xff\xff\xff", struct.pack("<2H", 0x9999, 500) + b"x", bytes(300)]
)
def test_extra_fields_that_nobody_knows_or_that_are_cut_short_do_no_harm(extra: bytes) -> None:
    assert read(zip_of(Entry(b"a.png", b"cell", extra=extra), B)).files == {
        "a.png": b"cell",
        "b.png": B.data,
    }


def wide(*values: int) -> bytes:
    """Return a field of eight-byte sizes."""
    return struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values)


def test_sizes_of_eight_bytes_are_read_and_false_ones_cost_their_own_file() -> None:
    packed = len(A.bytes_packed)
    unknown = 0xFFFFFFFF
    true = Entry(b"1.png", A.data, size=unknown, packed=unknown, extra=wide(len(A.data), packed))
    false = [
        Entry(b"2.png", b"x", size=unknown, packed=unknown, extra=wide(2**64 - 1, 2**64 - 1)),
        Entry(b"3.png", b"x", size=unknown, extra=b""),
        Entry(b"4.png", b"x", offset=unknown, extra=wide(2**63 - 1)),
        Entry(b"5.png", b"x", offset=unknown, extra=wide(2**61)),
        Entry(b"6.png", b"x", offset=7),
        Entry(b"7.png", b"x" * 50, size=10),
        Entry(b"8.png", b"x" * 50, size=1000),
        Entry(b"9.png", b"x" * 50, method=0, size=1000),
        Entry(b"10.png", b"x" * 50, packed=2**31),
    ]
    contents = read(zip_of(true, *false, B))
    assert contents.files == {"1.png": A.data, "b.png": B.data}
    assert contents.refused == {entry.raw.decode(): "corrupt" for entry in false}


class Unseekable(io.BytesIO):
    """A file that a program writes to without going back, as to a pipe."""

    def seekable(self) -> bool:
        """Return that it is not."""
        return False

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go nowhere."""
        raise OSError

    def tell(self) -> int:
        """Know nothing."""
        raise OSError


@pytest.mark.parametrize("out", [io.BytesIO, Unseekable])
@pytest.mark.parametrize("limit", [3, 0xFFFF])
def test_what_the_standard_library_writes_is_read(
    out: type[io.BytesIO], limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Beyond the limit the end has the wide form; sizes and checksums follow the bytes in a pipe.
    monkeypatch.setattr("zipfile.ZIP_FILECOUNT_LIMIT", limit)
    files = {f"slide é/{i}.png": bytes([i]) * i * 5000 for i in range(20)}
    made = out()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("slide é/", b"")
        for name, data in files.items():
            with archive.open(name, "w", force_zip64=True) as file:
                file.write(data)
    contents = read(made.getvalue())
    assert (contents.files, contents.refused, contents.problem) == (files, {}, "")
    assert read(b"MZ" * 999 + made.getvalue()).files == files


def test_files_that_lie_on_each_other_unpack_once_at_most() -> None:
    kernel = Entry(b"a.png", bytes(3_000_000))
    layers = [Entry(b"%d.png" % i, b"", offset=0, size=3_000_000, packed=2900) for i in range(500)]
    contents = read(zip_of(kernel, *layers))
    assert sum(map(len, contents.files.values())) <= 20 * 3_000_000
    assert len(contents.refused) > 480


def test_a_file_that_unpacks_to_too_much_costs_itself_alone() -> None:
    bombs = [Entry(b"%d.png" % i, bytes(20_000_000)) for i in range(5)]
    contents = read(zip_of(*bombs, A, B))
    assert contents.refused == {"3.png": "bomb", "4.png": "bomb"}
    assert BOTH.items() <= contents.files.items()


@pytest.mark.parametrize("raw", [b"d/", b"d\\", "Müller/".encode("cp850"), b"\x95\x5c"])
def test_folders_are_passed_over_whatever_their_form(raw: bytes) -> None:
    assert read(zip_of(Entry(raw, b""), A, B)).members == 2
    assert read(zip_of(Entry(b"d", b"", attributes=0x10), A, B)).members == 2
    assert read(zip_of(Entry(b"d", b"", attributes=0o040755 << 16), A, B)).members == 2


def test_what_has_bytes_is_a_file_also_if_it_is_called_a_folder() -> None:
    assert read(zip_of(Entry(b"a.png/", b"cell"))).files == {"a.png/": b"cell"}
    assert read(zip_of(Entry(b"", b"cell"))).files == {"": b"cell"}


def test_a_table_that_breaks_off_keeps_what_came_before() -> None:
    whole = bytearray(zip_of(A, B))
    whole[whole.rindex(b"PK\1\2")] ^= 1
    contents = read(bytes(whole))
    assert (contents.files, "damaged" in contents.problem) == ({}, True)


def test_locked_links_and_unknown_methods_are_refused_by_name() -> None:
    entries = [
        Entry(b"1.png", b"x", flags=1),
        Entry(b"2.png", b"x", flags=0x40),
        Entry(b"3.png", b"x", method=9),
        Entry(b"4.png", b"x", attributes=0o120777 << 16),
    ]
    contents = read(zip_of(*entries, B))
    reasons = ["encrypted", "encrypted", "packed", "special"]
    assert list(contents.refused.values()) == reasons
    assert set(contents.files) == {"b.png"}


def test_there_is_a_most_of_files_in_a_zip() -> None:
    entries = [Entry(b"%d.png" % i, b"x") for i in range(30)]
    assert read(zip_of(*entries)).members == 30
    contents = read(zip_of(*entries), Caps(20, 2**30))
    assert (contents.members, "more than 20 files" in contents.problem) == (0, True)


def test_many_files_are_read_across_the_pieces_their_table_comes_in() -> None:
    entries = [Entry(b"%060d.png" % i, b"%d" % i, extra=bytes(500)) for i in range(900)]
    assert len(read(zip_of(*entries)).files) == 900


@pytest.mark.parametrize("data", [b"", b"PK", b"no archive" * 100, b"Rar!\x1a\x07\x01\x00" * 100])
def test_what_is_no_archive_says_so(data: bytes) -> None:
    assert read(data).problem
