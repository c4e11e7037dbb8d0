"""Taking in archives: what is in them, what is refused or left out, damage, traps, resending."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from core.blobs import LocalBlobs
from core.settings import Settings
from tests.web.conftest import Api, Browser, Png, content, on_both, open_job, send
from web.wiring import Wiring, attach

A = "a@laboratory.test"
Files = dict[str, bytes]
Pack = Callable[[Files], bytes]


def zipped(files: Files, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a .zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(files: Files, mode: str = "w", kind: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a .tar, or a .tar.gz where ``mode`` says so."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=kind) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    found: bytes = out.getvalue()
    return found


def tar_gz(files: Files) -> bytes:
    """Return a .tar.gz."""
    return tarred(files, "w:gz")


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


every_kind = pytest.mark.parametrize("pack", [zipped, tarred, tar_gz])


def put(api: Api, job: int, archive: bytes, email: str = A, **options: Any) -> TestResponse:
    """Send an archive to a job."""
    return api("PUT", f"/jobs/{job}/archive", email, data=archive, **options)


def states(api: Api, job: int) -> dict[str, str]:
    """Return what became of each file of a job, by name."""
    found: dict[str, str] = {}
    for state in ("received", "refused", "expected"):
        page = content(api("GET", f"/jobs/{job}/images?state={state}&size=100"))
        found |= {one["name"]: one["reason"] or state for one in page["images"]}
    return found


def problem(answer: TestResponse) -> str:
    """Return the sentence of an answer that is an error."""
    assert answer.status_code == 400, answer.text
    return str(content(answer)["error"]["message"])


@on_both
@every_kind
def test_an_archive_is_taken_in_as_its_files_would_be(api: Api, png: Png, pack: Pack) -> None:
    job = open_job(api)
    files = {f"slide 7/{i}.png": png(i) for i in range(6)} | {"slide 7/note.jpg": b"not an image"}
    answer = content(put(api, job, pack(files | {"slide 7/again.png": png(0)})))
    assert (answer["accepted"], answer["refused"], answer["skipped"]) == (7, 1, 0)
    (refusal,) = answer["refusals"]
    assert (refusal["name"], refusal["reason"]) == ("slide 7/note.jpg", "not_an_image")
    found = states(api, job)
    assert set(found) == {*files, "slide 7/again.png"}
    assert found["slide 7/note.jpg"] == "not_an_image"
    counts = content(api("POST", f"/jobs/{job}/submit", json={}))["counts"]
    assert (counts["received"], counts["duplicates"], counts["refused"]) == (8, 1, 1)


@on_both
@every_kind
def test_sending_an_archive_again_takes_nothing_twice(api: Api, png: Png, pack: Pack) -> None:
    job = open_job(api)
    archive = pack({"a.png": png(1), "b.png": png(2), "no.png": b"no"})
    first, again = (content(put(api, job, archive)) for _ in range(2))
    assert again == first
    assert content(api("GET", f"/jobs/{job}"))["counts"]["received"] == 3


@on_both
def test_an_archive_brings_what_a_manifest_announced(api: Api, png: Png) -> None:
    job = open_job(api)
    files = [{"name": f"{i}.png", "size": len(png(i))} for i in range(2)]
    api("POST", f"/jobs/{job}/manifest", json={"files": files})
    put(api, job, zipped({"0.png": png(0), "1.png": png(1)}))
    assert states(api, job) == {"0.png": "received", "1.png": "received"}


@on_both
def test_the_bytes_of_a_file_that_is_still_expected_come_under_another_name(
    api: Api, png: Png
) -> None:
    job = open_job(api)
    send(api, job, {"first.png": png(0)})
    line = {"name": "x.png", "size": len(png(1)), "sha256": hashlib.sha256(png(1)).hexdigest()}
    api("POST", f"/jobs/{job}/manifest", json={"files": [line]})
    put(api, job, zipped({"y.png": png(1)}))
    assert states(api, job) == dict.fromkeys(("first.png", "x.png", "y.png"), "received")


@every_kind
def test_what_a_folders_upload_leaves_out_is_skipped(api: Api, png: Png, pack: Pack) -> None:
    job = open_job(api)
    left_out = ("notes.txt", "__MACOSX/a.png", "._a.png", ".hidden/a.png", "x/.DS_Store", "f.zi")
    answer = content(put(api, job, pack({"./a.png": png(1)} | dict.fromkeys(left_out, b"x"))))
    assert (answer["accepted"], answer["refused"], answer["skipped"]) == (1, 0, len(left_out))
    assert states(api, job) == {"a.png": "received"}


@every_kind
def test_names_that_lead_outside_and_archives_within_are_refused(
    api: Api, png: Png, pack: Pack
) -> None:
    job = open_job(api)
    names = ("../../etc/a.png", "/b.png", "C:/c.png", "d/../../e.png", "..\\f.png")
    answer = content(put(api, job, pack(dict.fromkeys(names, png(1)) | {"slides.tar": b"x"})))
    assert (answer["accepted"], answer["refused"]) == (0, 6)
    reasons = [one["reason"] for one in answer["refusals"]]
    assert reasons == ["outside"] * 5 + ["nested"]
    assert all(not name.startswith(("/", "..")) for name in states(api, job))


def test_links_and_devices_in_a_tar_are_refused(api: Api, png: Png) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)
        for number, kind in enumerate(kinds):
            info = tarfile.TarInfo(f"{number}.png")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        folder = tarfile.TarInfo("folder.png")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        good = tarfile.TarInfo("good.png")
        good.size = len(png(1))
        archive.addfile(good, io.BytesIO(png(1)))
    job = open_job(api)
    answer = content(put(api, job, out.getvalue()))
    assert [one["reason"] for one in answer["refusals"]] == ["special"] * 4
    assert states(api, job)["good.png"] == "received"


def test_a_link_in_a_zip_is_refused(api: Api) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("a.png")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    answer = content(put(api, open_job(api), out.getvalue()))
    assert answer["refusals"][0]["reason"] == "special"


def test_locked_and_oddly_packed_files_are_refused_one_by_one(api: Api, png: Png) -> None:
    locked = bytearray(zipped({"a.png": png(1)}))
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        locked[locked.index(mark) + offset] |= 1
    answer = content(put(api, open_job(api), bytes(locked)))
    assert [one["reason"] for one in answer["refusals"]] == ["encrypted"]
    packed = zipped({"a.png": png(1)}, zipfile.ZIP_LZMA)
    answer = content(put(api, open_job(api), packed))
    assert [one["reason"] for one in answer["refusals"]] == ["packed"]


def test_a_damaged_file_in_a_zip_is_named_and_mended_by_another_sending(api: Api, png: Png) -> None:
    files = {"a.png": png(1), "b.png": png(2)}
    whole = zipped(files, zipfile.ZIP_STORED)
    broken = bytearray(whole)
    broken[whole.index(png(1)) + 40] ^= 255
    job = open_job(api)
    answer = content(put(api, job, bytes(broken)))
    assert [(one["name"], one["reason"]) for one in answer["refusals"]] == [("a.png", "corrupt")]
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
    kept = len(states(api, job))
    assert 0 < kept < 20
    assert f"The {kept} files that came before" in sentence or "The 1 file" in sentence
    assert content(put(api, job, whole))["accepted"] == 20
    assert len(states(api, job)) == 20


def test_a_tar_with_a_damaged_header_does_not_end_there_without_a_word(api: Api, png: Png) -> None:
    whole = bytearray(tarred({f"{i}.png": png(i) for i in range(3)}, kind=tarfile.USTAR_FORMAT))
    whole[whole.index(b"1.png")] ^= 255
    job = open_job(api)
    assert "The 1 file that came before it is kept" in problem(put(api, job, bytes(whole)))
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
    assert "broke off" in problem(answer)
    # A .zip is read from its end, so nothing of it is known before all of it has come.
    assert (len(states(api, job)) > 0) == (pack is not zipped)
    assert content(put(api, job, whole))["accepted"] == 20
    assert len(states(api, job)) == 20


@pytest.mark.parametrize(
    ("archive", "sentence"),
    [
        (b"", "no archive that can be read here"),
        (b"Rar!\x1a\x07\x01\x00" + bytes(2000), "Pack the images as .zip, .tar or .tar.gz"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(2000), "Pack the images as .zip, .tar or .tar.gz"),
        (b"\x1f\x8b" + bytes(100), "damaged"),
        (zipped({}), "There is no image in this archive"),
        (tarred({}), "There is no image in this archive"),
        (tar_gz({}), "There is no image in this archive"),
        (zipped({"readme.txt": b"x"}), "There is no image in this archive"),
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
    monkeypatch.setattr("core.archives.reading._RATIO_COUNTS_FROM", 1000)


@pytest.mark.usefixtures("small_caps")
@pytest.mark.parametrize("pack", [zipped, tar_gz])
def test_a_bomb_is_not_unpacked(api: Api, pack: Pack) -> None:
    answer = put(api, open_job(api), pack({f"{i}.png": bytes(150_000) for i in range(6)}))
    assert "more than 100 times its size" in problem(answer)


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
        assert "damaged" in problem(put(api, job, sent))


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


def test_an_archive_for_another_persons_job_is_not_taken(api: Api, png: Png) -> None:
    job = open_job(api)
    archive = zipped({"a.png": png(1)})
    assert put(api, job, archive, "b@laboratory.test").status_code == 404
    assert put(api, job, archive, "doctor@clinic.test").status_code == 403
    assert states(api, job) == {}


def test_an_archive_for_a_job_that_was_submitted_is_not_taken(api: Api, png: Png) -> None:
    job = open_job(api)
    send(api, job, {"a.png": png(1)})
    api("POST", f"/jobs/{job}/submit", json={})
    answer = put(api, job, zipped({"b.png": png(2)}))
    assert answer.status_code == 409
    assert "no longer receives files" in content(answer)["error"]["message"]


def test_an_archive_is_sent_as_it_is_and_not_as_a_form(api: Api, png: Png) -> None:
    form = {"archive": (io.BytesIO(zipped({"a.png": png(1)})), "a.zip")}
    answer = api("PUT", f"/jobs/{open_job(api)}/archive", data=form)
    assert "Send the file's bytes as they are" in problem(answer)


def test_a_browser_sends_an_archive_with_its_token(laboratory: Browser, png: Png) -> None:
    job = content(laboratory.call("POST", "/jobs", {"name": "By hand"}))["id"]
    path = f"/api/v1/jobs/{job}/archive"
    archive = zipped({"a.png": png(1)})
    assert laboratory.client.put(path, data=archive).status_code == 400
    answer = laboratory.client.put(path, data=archive, headers={"X-CSRFToken": laboratory.csrf})
    assert content(answer)["accepted"] == 1
