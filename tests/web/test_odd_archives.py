"""Archives that are damaged, too large, no archives at all, or made to do harm."""

from __future__ import annotations

import io
import random
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from flask import Flask

from core.blobs import LocalBlobs
from core.settings import Settings
from tests.web.conftest import Api, Png, content, open_job
from tests.web.packing import Pack, every_kind, problem, put, states, tar_gz, tarred, zipped
from web.wiring import Wiring, attach


@contextmanager
def most_memory(most: int) -> Iterator[None]:
    """Hold what is done within to so many bytes of memory at a time."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < most, peak


def test_a_damaged_file_in_a_zip_is_named_and_mended_by_another_sending(api: Api, png: Png) -> None:
    files = {"a.png": png(1), "b.png": png(2)}
    whole = zipped(files, zipfile.ZIP_STORED)
    broken = bytearray(whole)
    broken[whole.index(png(1)) + 40] ^= 255
    job = open_job(api)
    answer = content(put(api, job, bytes(broken)))
    assert [(file["name"], file["reason"]) for file in answer["refusals"]] == [("a.png", "corrupt")]
    assert states(api, job) == {"a.png": "corrupt", "b.png": "received"}
    put(api, job, whole)
    assert states(api, job) == {"a.png": "received", "b.png": "received"}


def test_a_truncated_zip_takes_nothing_and_says_so(api: Api, png: Png) -> None:
    job = open_job(api)
    whole = zipped({f"{i}.png": png(i) for i in range(5)})
    assert "damaged or ends too early" in problem(put(api, job, whole[:-40]))
    assert states(api, job) == {}


@pytest.mark.parametrize("pack", [tarred, tar_gz])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_truncated_tar_keeps_what_came_before(
    api: Api, png: Png, pack: Pack, share: float
) -> None:
    job = open_job(api)
    whole = pack({f"{i}.png": png(i) + bytes(1000 * i) for i in range(20)})
    # The end of a tar is padding, of which some may be missing unnoticed by anybody.
    sentence = problem(put(api, job, whole[: int(len(whole) * share)]))
    assert "damaged or ends too early" in sentence
    count = len(states(api, job))
    assert 0 < count < 20
    assert f"The {count} files before this point" in sentence or "The 1 file" in sentence
    assert content(put(api, job, whole))["accepted"] == 20
    assert len(states(api, job)) == 20


def test_a_tar_with_a_damaged_header_does_not_end_there_without_a_word(api: Api, png: Png) -> None:
    whole = bytearray(tarred({f"{i}.png": png(i) for i in range(3)}, kind=tarfile.USTAR_FORMAT))
    whole[whole.index(b"1.png")] ^= 255
    job = open_job(api)
    assert "The 1 file before this point is kept" in problem(put(api, job, bytes(whole)))
    assert states(api, job) == {"0.png": "received"}


def test_a_gz_whose_checksum_fails_is_damaged(api: Api, png: Png) -> None:
    whole = bytearray(tar_gz({"a.png": png(1)}))
    whole[-5] ^= 255
    assert "damaged" in problem(put(api, open_job(api), bytes(whole)))


@every_kind
def test_a_connection_that_breaks_off_keeps_what_has_come(api: Api, png: Png, pack: Pack) -> None:
    job = open_job(api)
    noise = random.Random(1)
    whole = pack({f"{i}.png": png(i) + noise.randbytes(20_000) for i in range(20)})
    answer = api(
        "PUT",
        f"/jobs/{job}/archive",
        input_stream=io.BytesIO(whole[: len(whole) * 2 // 3]),
        environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": str(len(whole))},
    )
    assert "connection was lost" in problem(answer)
    # A .zip is read from its end, so nothing of it is known before all of it has come.
    assert (len(states(api, job)) > 0) == (pack is not zipped)
    assert content(put(api, job, whole))["accepted"] == 20
    assert len(states(api, job)) == 20


@pytest.mark.parametrize(
    ("archive", "sentence"),
    [
        (b"", "not an archive that can be read here"),
        (b"Rar!\x1a\x07\x01\x00" + bytes(2000), "Pack the images as .zip, .tar or .tar.gz"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(2000), "Pack the images as .zip, .tar or .tar.gz"),
        (b"\x1f\x8b" + bytes(100), "damaged"),
        (zipped({}), "There is no image in this archive"),
        (tarred({}), "There is no image in this archive"),
        (tar_gz({}), "There is no image in this archive"),
        (zipped({"readme.txt": b"x"}), "Skipped: readme.txt."),
        (tarred({f"{i}.txt": b"x" for i in range(9)}), "3.txt, 4.txt and 4 more."),
    ],
    ids=[
        "empty",
        "rar",
        "7z",
        "gzip",
        "no zip",
        "no tar",
        "no tar.gz",
        "zip of text",
        "tar of text",
    ],
)
def test_what_is_no_archive_or_holds_no_image_says_what_to_send(
    api: Api, archive: bytes, sentence: str
) -> None:
    assert sentence in problem(put(api, open_job(api), archive))


@every_kind
def test_too_many_files_are_told_to_be_split(api: Api, png: Png, pack: Pack) -> None:
    answer = put(api, open_job(api), pack({f"{i}.png": png(i) for i in range(51)}))
    assert "more than 50 files. Split it into several archives" in problem(answer)


def test_a_job_does_not_grow_beyond_its_limit_by_several_archives(api: Api, png: Png) -> None:
    job = open_job(api)
    assert put(api, job, zipped({f"{i}.png": png(i) for i in range(30)})).status_code == 200
    answer = put(api, job, zipped({f"{i}.png": png(i) for i in range(30, 60)}))
    assert answer.status_code == 409
    assert "at most 50 files" in content(answer)["error"]["message"]
    assert len(states(api, job)) == 30


@every_kind
def test_a_file_beyond_the_largest_is_refused_by_name(api: Api, png: Png, pack: Pack) -> None:
    job = open_job(api)
    put(api, job, pack({"scan.png": png(1) + bytes(200_000), "a.png": png(1)}))
    assert states(api, job) == {"scan.png": "too_large", "a.png": "received"}


def test_a_file_that_is_larger_than_it_says_is_not_read_beyond_that(api: Api, png: Png) -> None:
    data = png(1) + bytes(150_000)
    lying = bytearray(zipped({"a.png": data}))
    for mark, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        start = lying.index(mark) + offset
        lying[start : start + 4] = struct.pack("<I", 100)
    answer = content(put(api, open_job(api), bytes(lying)))
    assert answer["refusals"][0]["reason"] == "corrupt"


@pytest.fixture
def small_caps(app: Flask, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let archives be of a megabyte at most, and watched for traps from the first byte on."""
    wiring: Wiring = app.extensions["hematovision"]
    smaller = settings.model_copy(update={"max_archive_bytes": 2**20})
    attach(Wiring(smaller, wiring.database, wiring.blobs, wiring.queue), app.extensions)
    monkeypatch.setattr("core.intake.archives.member.RATIO_COUNTS_FROM", 1000)
    monkeypatch.setattr("core.intake.archives.zip._MOST_EXCESS", 1000)


@pytest.mark.usefixtures("small_caps")
def test_a_bomb_is_not_unpacked(api: Api) -> None:
    answer = put(api, open_job(api), tar_gz({f"{i}.png": bytes(150_000) for i in range(6)}))
    assert "more than 100 times its size" in problem(answer)


@pytest.mark.usefixtures("small_caps")
def test_a_bomb_among_the_images_of_a_zip_costs_itself_alone(api: Api, png: Png) -> None:
    job = open_job(api)
    put(api, job, zipped({"a.png": png(1), "bomb.png": bytes(150_000), "b.png": png(2)}))
    assert states(api, job) == {"a.png": "received", "bomb.png": "bomb", "b.png": "received"}


@pytest.mark.usefixtures("small_caps")
def test_what_a_zip_holds_besides_images_may_shrink_as_it_likes(api: Api, png: Png) -> None:
    answer = put(api, open_job(api), zipped({"a.png": png(1), "scanner.log": bytes(2**21)}))
    assert (content(answer)["accepted"], content(answer)["skipped"]) == (1, 1)


@pytest.mark.usefixtures("small_caps")
@every_kind
def test_an_archive_that_is_too_large_is_told_to_be_split(api: Api, png: Png, pack: Pack) -> None:
    noise = random.Random(1)
    files = {f"{i}.png": png(i) + noise.randbytes(150_000) for i in range(9)}
    assert "Split it into several archives" in problem(put(api, open_job(api), pack(files)))


def test_a_tars_headers_do_not_fill_the_memory(api: Api) -> None:
    info = tarfile.TarInfo("a.png")
    info.pax_headers = {"comment": "x" * 2**24}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info)
    job, sent = open_job(api), out.getvalue()
    with most_memory(8 * 2**20):
        put(api, job, sent)
    assert states(api, job) == {"a.png": "corrupt"}


def test_a_zips_table_of_contents_does_not_fill_the_memory(api: Api) -> None:
    whole = zipped({"a.png": b"x"})
    line, count = b"PK\x01\x02" + bytes(42), 400_000
    end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1, 1, len(line) * count, len(whole), 0)
    archive = whole + line * count + end
    job = open_job(api)
    # The store of these tests keeps the archive itself in memory; its lines would be 300 MB more.
    with most_memory(32 * 2**20):
        assert "more than 50 files" in problem(put(api, job, archive))


@every_kind
def test_memory_does_not_grow_with_the_archive(
    app: Flask, settings: Settings, api: Api, png: Png, pack: Pack
) -> None:
    wiring: Wiring = app.extensions["hematovision"]
    roomy = settings.model_copy(update={"max_job_files": 2000})
    blobs = LocalBlobs(settings.data / "blobs")
    attach(Wiring(roomy, wiring.database, blobs, wiring.queue), app.extensions)
    noise = random.Random(1)
    archive = pack({f"{i}.png": png(i) + noise.randbytes(100_000) for i in range(300)})
    job = open_job(api)
    with most_memory(15 * 2**20):
        assert content(put(api, job, archive))["accepted"] == 300


def test_nothing_of_a_zip_stays_in_the_staging_place(
    app: Flask, settings: Settings, api: Api, png: Png
) -> None:
    wiring: Wiring = app.extensions["hematovision"]
    blobs = LocalBlobs(settings.data / "blobs")
    attach(Wiring(settings, wiring.database, blobs, wiring.queue), app.extensions)
    for archive in (zipped({"a.png": png(1)}), zipped({"a.png": png(1)})[:-30]):
        put(api, open_job(api), archive)
        assert not list((settings.data / "blobs" / "staging").iterdir())
