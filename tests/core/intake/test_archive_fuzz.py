"""Archives with bytes changed, moved, cut out and doubled: read to an end, with no other error.

A member may be lost only with a word: it is refused, or the archive is said to be damaged.
"""

from __future__ import annotations

import gzip
import io
import tarfile

from hypothesis import given, settings
from hypothesis import strategies as st

from core.blobs import MemoryBlobs
from core.errors import BadArchive
from core.intake import Limits
from core.intake.archives import ArchiveCounts, members, take_in
from tests.core.archiving import CAPS, END, Entry, Stream, header, pax, read, stored, tar_of, zip_of

FILES = {f"{'slide/' * i}{i}é.png": bytes([65 + i]) * (i * 300) for i in range(4)}
SPARSE = header(b"s.png", 4, b"S") + stored(b"xxxx")
LINK = header(b"l.png", 0, b"2")
ARCHIVES = [
    tar_of(tarfile.USTAR_FORMAT, FILES),
    tar_of(tarfile.GNU_FORMAT, FILES | {"n" * 200 + ".png": b"x"}),
    tar_of(tarfile.PAX_FORMAT, FILES | {"n" * 300 + ".png": b"x"}),
    pax((b"size", b"3"), (b"path", b"p.png"))
    + header(b"x", 3)
    + stored(b"abc")
    + SPARSE
    + LINK
    + END,
    gzip.compress(tar_of(tarfile.GNU_FORMAT, FILES)),
    gzip.compress(b"", 1) + gzip.compress(tar_of(tarfile.USTAR_FORMAT, FILES)),
    zip_of(*(Entry(name.encode(), data) for name, data in FILES.items())),
    zip_of(*(Entry(name.encode("cp850"), data, method=0) for name, data in FILES.items())),
    zip_of(Entry(b"z.png", b"x", size=0xFFFFFFFF, extra=b"\1\0\x08\0\1\0\0\0\0\0\0\0")),
]
LIMITS = Limits(10_000, 10_000)


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """Return an archive to which up to six things were done."""
    data = bytearray(draw(st.sampled_from(ARCHIVES)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.integers(0, 4))
        if kind == 0:
            data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        elif kind == 1:
            field = draw(
                st.sampled_from([b"\xff" * 12, b"\x80" + b"\0" * 11, b"\0" * 8, b"7" * 11])
            )
            data[at : at + len(field)] = field
        elif kind == 2:
            del data[at : at + draw(st.integers(1, 1024))]
        elif kind == 3:
            data[at:at] = data[at : at + draw(st.integers(1, 1024))]
        else:
            _sum_again(data, at)
    return bytes(data)


def _sum_again(data: bytearray, at: int) -> None:
    """Give a changed header of a tar the checksum that makes it a valid one."""
    start = at // 512 * 512
    block = data[start : start + 512]
    if len(block) == 512:
        field = (at * 7) % 500
        block[field : field + 4] = b"\xff\x80\0x"
        block[148:156] = b" " * 8
        block[148:156] = b"%06o\0 " % sum(block)
        data[start : start + 512] = block


@settings(max_examples=600, deadline=None)
@given(spoiled())
def test_reading_ends_and_fails_in_one_way_only(data: bytes) -> None:
    stream = Stream(data)
    counts = ArchiveCounts()
    written = [0, 0]

    def write(arrivals: object, skips: object) -> None:
        written[0] += len(arrivals)  # type: ignore[arg-type]
        written[1] += len(skips)  # type: ignore[arg-type]

    try:
        take_in(members(stream, MemoryBlobs(), CAPS), MemoryBlobs(), LIMITS, write, counts)
    except BadArchive as problem:
        assert str(problem).endswith(".")
    assert written == [counts.accepted + counts.refused, counts.skipped]
    # Every read but the last few brings bytes: nothing is asked for without end.
    assert stream.calls <= len(data) // 8192 + 20


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(ARCHIVES), st.data())
def test_what_stands_before_a_cut_in_a_tar_is_read(archive: bytes, data: st.DataObject) -> None:
    whole = read(archive)
    cut = read(archive[: data.draw(st.integers(0, len(archive)))])
    assert cut.files.items() <= whole.files.items()
    assert cut.problem or cut.members == whole.members


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=2000), st.sampled_from([b"", b"\x1f\x8b\x08", b"PK\3\4", b"PK\5\6"]))
def test_any_bytes_are_read_to_an_end(data: bytes, magic: bytes) -> None:
    read(magic + data)
    read(gzip.compress(magic + data))
    read(io.BytesIO(magic + data).read() + bytes(1024))
