"""Taking in archives: what is in them, what is refused by name or left out, sending again."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile

import pytest

from tests.web.conftest import Api, Browser, Png, content, on_both, open_job, send
from tests.web.packing import (
    Pack,
    every_kind,
    problem,
    put,
    skipped,
    states,
    twice_zipped,
    zipped,
)


@on_both
@every_kind
def test_an_archive_is_taken_in_as_its_files_would_be(api: Api, png: Png, pack: Pack) -> None:
    job = open_job(api)
    files = {f"slide 7/{i}.png": png(i) for i in range(6)} | {"slide 7/note.jpg": b"not an image"}
    answer = content(put(api, job, pack(files | {"slide 7/again.png": png(0)})))
    assert (answer["accepted"], answer["refused"], answer["skipped"]) == (7, 1, 0)
    (refusal,) = answer["refusals"]
    assert (refusal["name"], refusal["reason"]) == ("slide 7/note.jpg", "not_an_image")
    state_of = states(api, job)
    assert set(state_of) == {*files, "slide 7/again.png"}
    assert state_of["slide 7/note.jpg"] == "not_an_image"
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


@on_both
@every_kind
def test_what_a_folders_upload_skips_is_skipped_and_named(api: Api, png: Png, pack: Pack) -> None:
    job = open_job(api)
    skips = {
        "notes.txt": "not_image",
        "f.zi": "not_image",
        ".hidden/a.png": "hidden",
        "__MACOSX/a.png": "system",
        "._a.png": "system",
        "x/.DS_Store": "system",
    }
    archive = pack({"./a.png": png(1)} | dict.fromkeys(skips, b"x"))
    for _ in range(2):
        answer = content(put(api, job, archive))
        assert (answer["accepted"], answer["refused"], answer["skipped"]) == (1, 0, len(skips))
        assert {skip["name"]: skip["reason"] for skip in answer["skips"]} == skips
    assert states(api, job) == {"a.png": "received"}
    assert skipped(api, job) == skips


def test_the_skipped_files_of_a_job_come_page_by_page(api: Api, png: Png) -> None:
    job = open_job(api)
    put(api, job, zipped({"a.png": png(1)} | {f"{i:02}.txt": b"x" for i in range(25)}))
    page = content(api("GET", f"/jobs/{job}/skipped?size=20"))
    rest = content(api("GET", f"/jobs/{job}/skipped?size=20&before={page['next']}"))
    names = [file["name"] for file in (*page["files"], *rest["files"])]
    assert names == [f"{i:02}.txt" for i in range(25)]
    assert rest["next"] is None


def test_a_file_that_comes_twice_in_an_archive_is_counted_once(api: Api, png: Png) -> None:
    job = open_job(api)
    with pytest.warns(UserWarning, match="Duplicate name"):
        archive = twice_zipped({"a.png": png(1), "b.png": png(2)})
    answer = content(put(api, job, archive))
    assert (answer["accepted"], answer["refused"], answer["skipped"]) == (2, 0, 2)
    assert {skip["reason"] for skip in answer["skips"]} == {"repeated"}
    assert states(api, job) == {"a.png": "received", "b.png": "received"}


@every_kind
def test_different_files_whose_names_look_alike_are_told_apart(
    api: Api, png: Png, pack: Pack
) -> None:
    job = open_job(api)
    archive = pack({"a.png": png(1), "a\u200b.png": png(2), "e\u0301.png": png(3), "é.png": png(4)})
    for _ in range(2):
        assert content(put(api, job, archive))["accepted"] == 4
    names = sorted(states(api, job))
    assert len(names) == 4
    assert names[0].startswith("a (")
    assert (names[1], names[3]) == ("a.png", "é.png")


@every_kind
def test_names_that_lead_outside_and_archives_within_are_refused(
    api: Api, png: Png, pack: Pack
) -> None:
    job = open_job(api)
    names = ("../../etc/a.png", "/b.png", "C:/c.png", "d/../../e.png", "..\\f.png")
    answer = content(put(api, job, pack(dict.fromkeys(names, png(1)) | {"slides.tar": b"x"})))
    assert (answer["accepted"], answer["refused"]) == (0, 6)
    reasons = [refusal["reason"] for refusal in answer["refusals"]]
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
    assert [refusal["reason"] for refusal in answer["refusals"]] == ["special"] * 4
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
    assert [refusal["reason"] for refusal in answer["refusals"]] == ["encrypted"]
    packed = zipped({"a.png": png(1)}, zipfile.ZIP_LZMA)
    answer = content(put(api, open_job(api), packed))
    assert [refusal["reason"] for refusal in answer["refusals"]] == ["packed"]


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
    assert "Send the file as the raw request body" in problem(answer)


def test_a_browser_sends_an_archive_with_its_token(laboratory: Browser, png: Png) -> None:
    job = content(laboratory.call("POST", "/jobs", {"name": "By hand"}))["id"]
    path = f"/api/v1/jobs/{job}/archive"
    archive = zipped({"a.png": png(1)})
    assert laboratory.client.put(path, data=archive).status_code == 400
    answer = laboratory.client.put(path, data=archive, headers={"X-CSRFToken": laboratory.csrf})
    assert content(answer)["accepted"] == 1
