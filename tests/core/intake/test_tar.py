"""Tars of every kind, and tars that no program makes."""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from core.intake.archives import Caps
from tests.core.archiving import CAPS, END, header, pax, read, stored, summed, tar_of

GOOD = header(b"good.png", 4) + stored(b"cell")
KINDS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_every_format_is_read_as_it_was_written(kind: str, mode: str) -> None:
    files = {f"slide/{i}.png": bytes([i]) * i * 700 for i in range(20)} | {
        "a" * 90 + "/b.png": b"x"
    }
    contents = read(tar_of(KINDS[kind], files, mode))
    assert (contents.files, contents.refused, contents.problem) == (files, {}, "")


@pytest.mark.parametrize("kind", ["gnu", "pax"])
def test_long_names_and_names_of_any_script_are_read_whole(kind: str) -> None:
    files = {"d/" * 400 + "лимфоцит.png": b"1", "é" * 120 + ".png": b"2"}
    assert read(tar_of(KINDS[kind], files)).files == files


@pytest.mark.parametrize("form", ["gnu", "oldgnu", "pax", "posix", "ustar", "v7"])
def test_what_gnu_tar_writes_is_read(form: str, tmp_path: Path) -> None:
    (tmp_path / "slide").mkdir()
    for i in range(5):
        (tmp_path / "slide" / f"{i}.png").write_bytes(b"x" * i * 1000)
    command = ["tar", f"--format={form}", "-cf", "-", "slide"]
    made = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    contents = read(made)
    assert contents.files == {f"slide/{i}.png": b"x" * i * 1000 for i in range(5)}
    assert not contents.problem


SIZES = {
    "2^70 in octal": pax((b"size", str(2**70).encode())),
    "a hundred digits": pax((b"size", b"9" * 100)),
    "a million digits": pax((b"size", b"9" * 1_000_000)),
    "negative": pax((b"size", b"-512")),
    "no number": pax((b"size", b"five")),
    "empty": pax((b"size", b"")),
}
FIELDS = {
    "negative, base 256": b"\xff" * 12,
    "-2^70, base 256": (-(2**70)).to_bytes(12, "big", signed=True),
    "2^94, base 256": b"\x80" + b"\xff" * 11,
    "2^63, base 256": b"\x80\0\0\0" + (2**63).to_bytes(8, "big"),
    "no octal": b"99999999999\0",
    "signs": b"-0000000005\0",
    "underscores": b"0000_000_00\0",
}


@pytest.mark.parametrize("size", [*SIZES, *FIELDS])
def test_a_size_out_of_range_ends_the_archive_behind_what_is_good(size: str) -> None:
    described = SIZES.get(size, b"") + header(b"bad.png", FIELDS.get(size, 4)) + stored(b"xxxx")
    contents = read(GOOD + described + GOOD + END)
    assert contents.files == {"good.png": b"cell"}
    assert "at bad.png" in contents.problem


@pytest.mark.parametrize("size", [10**12, 2**62])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("name", [b"bad.png", b"bad.txt"])
def test_a_size_beyond_the_end_is_read_to_the_end_and_no_further(
    size: int, pack: type[bytes], name: bytes
) -> None:
    claimed = b"\x80\0\0\0" + size.to_bytes(8, "big")
    contents = read(pack(GOOD + header(name, claimed) + bytes(5000)), wanted=".png")
    assert contents.files == {"good.png": b"cell"}
    assert f"at {name.decode()}" in contents.problem


def test_the_size_of_a_link_or_a_folder_is_not_looked_at() -> None:
    huge = b"\x80" + b"\xff" * 11
    entries = [header(b"%d.png" % i, huge, kind) for i, kind in enumerate((b"1", b"2", b"5", b"6"))]
    contents = read(b"".join(entries) + GOOD + END)
    assert contents.files == {"good.png": b"cell"}
    assert contents.refused == {"0.png": "special", "1.png": "special", "3.png": "special"}
    assert not contents.problem


def test_sparse_files_are_refused_and_passed_over_in_every_form() -> None:
    old = bytearray(header(b"old.png", 4, b"S", b"ustar  \0"))
    old[482] = 1
    more, last = bytearray(512), bytearray(512)
    more[504] = 1
    maps = bytes(more) + bytes(last)
    new = pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.name", b"new.png"), (b"size", b"4"))
    data = summed(old) + maps + stored(b"xxxx") + new + header(b"x", 9) + stored(b"xxxx")
    contents = read(data + GOOD + END)
    assert contents.refused == {"old.png": "special", "new.png": "special"}
    assert contents.files == {"good.png": b"cell"}


def test_a_large_description_costs_nothing_and_one_without_measure_its_own_file() -> None:
    fork = pax((b"SCHILY.xattr.com.apple.ResourceFork", b"v" * 3_000_000), (b"path", b"a.png"))
    beyond = pax((b"comment", b"v" * 5_000_000), (b"path", b"b.png"))
    many = pax(*((b"k%d" % i, b"v") for i in range(5000)))
    name = header(b"././@LongLink", 5_000_000, b"L") + stored(b"n" * 5_000_000)
    data = b"".join(
        described + header(b"%d.png" % i, 4) + stored(b"xxxx")
        for i, described in enumerate((fork, beyond, many, name))
    )
    contents = read(data + GOOD + END)
    assert contents.files == {"a.png": b"xxxx", "good.png": b"cell"}
    assert contents.refused == dict.fromkeys(("1.png", "2.png", "3.png"), "corrupt")
    assert not contents.problem


@pytest.mark.parametrize(
    "records", [b"12 path=a\n", b"-5 a=b\n", b"9" * 30, b"0 a=b\n", b"6 a:b\n"]
)
def test_a_malformed_description_costs_its_own_file(records: bytes) -> None:
    described = header(b"PaxHeader", len(records), b"x") + stored(records)
    contents = read(described + header(b"a.png", 4) + stored(b"xxxx") + GOOD + END)
    assert contents.refused == {"a.png": "corrupt"}
    assert contents.files == {"good.png": b"cell"}


def test_descriptions_without_end_describe_nothing() -> None:
    contents = read(GOOD + pax((b"comment", b"x")) * 50 + GOOD + END)
    assert contents.files == {"good.png": b"cell"}
    assert "damaged" in contents.problem
    assert "damaged" in read(GOOD + pax((b"comment", b"x")) + END).problem


def test_what_describes_all_files_describes_each() -> None:
    comment = pax((b"comment", b"a commit"), kind=b"g")
    assert read(comment + GOOD + END).files == {"good.png": b"cell"}
    assert read(comment + END).problem == ""


def test_tars_that_were_strung_together_are_read_one_after_the_other() -> None:
    first, second = (tar_of(tarfile.GNU_FORMAT, {f"{i}.png": b"cell"}) for i in range(2))
    for data in (first + second, gzip.compress(first) + gzip.compress(second)):
        assert read(data).files == {"0.png": b"cell", "1.png": b"cell"}


def test_what_follows_the_end_and_is_no_tar_is_no_part_of_it() -> None:
    for rest in (b"left on the tape" * 100, b"\xff" * 10_000):
        contents = read(GOOD + END + rest)
        assert (contents.files, contents.problem) == ({"good.png": b"cell"}, "")
        assert read(gzip.compress(GOOD + END) + rest).files == {"good.png": b"cell"}


def test_a_tar_without_its_end_ends_too_early() -> None:
    for whole in (GOOD, GOOD[:-100], GOOD + header(b"b.png", 4)[:300]):
        contents = read(whole)
        assert contents.files == {"good.png": b"cell"}
        assert "ends too early" in contents.problem


def test_many_small_parts_of_a_gz_are_read() -> None:
    whole = GOOD + END
    parts = b"".join(gzip.compress(whole[i : i + 7]) + bytes(3) for i in range(0, len(whole), 7))
    assert read(parts).files == {"good.png": b"cell"}
    empty = gzip.compress(b"") * 20_000
    assert read(empty + gzip.compress(whole)).files == {"good.png": b"cell"}


def test_a_gz_may_carry_a_name_and_a_comment_of_any_length() -> None:
    out = io.BytesIO()
    with gzip.GzipFile("n" * 2_000_000, "wb", fileobj=out) as file:
        file.write(GOOD + END)
    assert read(out.getvalue()).files == {"good.png": b"cell"}


def test_a_large_log_beside_images_is_passed_over() -> None:
    log = header(b"scanner.log", 200_000_000) + stored(bytes(200_000_000))
    contents = read(gzip.compress(log + GOOD + END, 1), wanted=".png")
    assert (contents.files, contents.problem) == ({"good.png": b"cell"}, "")


def test_there_is_a_most_of_files_folders_among_them() -> None:
    folders = b"".join(header(b"%d/" % i, 0, b"5") for i in range(30))
    assert "more than 20 files" in read(folders + GOOD + END, Caps(20, 2**30)).problem
    assert CAPS.entries > 30 and not read(folders + GOOD + END).problem


def test_a_checksum_of_signed_bytes_is_one_too() -> None:
    block = bytearray(header("grün.png".encode("latin-1"), 4))
    signed = sum(byte - 256 * (byte > 127) for byte in block[:148] + block[156:]) + 8 * 32
    block[148:156] = b"%06o\0 " % signed
    contents = read(bytes(block) + stored(b"cell") + END)
    assert list(contents.files.values()) == [b"cell"]
