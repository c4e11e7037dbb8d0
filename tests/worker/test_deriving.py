"""Copies come with the verdict, and on demand where a page misses them; nothing else leaves."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image as Picture
from PIL import ImageCms, PngImagePlugin, TiffImagePlugin
from pypdf import PdfReader
from pypdf.generic import StreamObject
from sqlalchemy import select

from core.blobs import MemoryBlobs, image_key
from core.made import derivatives, explanations, reports
from core.states import ImageState, MakingState
from core.tables import Derivative, Image, Job, Prediction, Report
from tests.worker.conftest import Submit, Watched, png
from tests.worker.test_pipeline import files, work_through
from worker.deriving import derive_image
from worker.explaining import explain_image
from worker.process import WorkerProcess
from worker.report import make_report

MARKER = b"Jane-Doe-1931"
_WORDS = MARKER.decode()


def images(process: WorkerProcess) -> list[Image]:
    with process.database.reading() as session:
        return list(session.scalars(select(Image).order_by(Image.id)))


def drop_copies(process: WorkerProcess) -> None:
    for image in images(process):
        process.blobs.delete(derivatives.key(image.sha256 or ""))


def order(process: WorkerProcess, image: Image) -> int:
    with process.database.writing() as session:
        return derivatives.order(session, image).id


def wish(process: WorkerProcess, derivative_id: int) -> Derivative:
    with process.database.reading() as session:
        return session.get_one(Derivative, derivative_id)


def test_copies_come_with_the_verdict(process: WorkerProcess, submit: Submit) -> None:
    submit({"sound.png": png(1, 400), "cut.png": png(2)[:300], "strange.png": png(3, 20)})
    work_through(process)
    sound, cut, strange = images(process)
    assert (cut.state, strange.outcome) == (ImageState.FAILED, "unfamiliar")
    made = derivatives.read(process.blobs, sound.sha256 or "")
    assert Picture.open(io.BytesIO(made.large)).size == (400, 400)
    assert Picture.open(io.BytesIO(made.tile)).size == (192, 192)
    assert derivatives.exist(process.blobs, strange.sha256 or "")
    assert not derivatives.exist(process.blobs, cut.sha256 or "")


def test_an_image_whose_verdict_is_taken_over_gets_its_copies_too(
    process: WorkerProcess, submit: Submit, watched: Watched
) -> None:
    submit(files(3))
    work_through(process)
    drop_copies(process)
    looked_at = watched.images
    submit(files(3))
    work_through(process)
    assert watched.images == looked_at, "the verdicts were taken over"
    assert all(derivatives.exist(process.blobs, image.sha256 or "") for image in images(process))


def test_an_image_that_was_not_judged_is_shown_on_demand(
    process: WorkerProcess, submit: Submit
) -> None:
    submit({"a.png": png(1, 300)})
    (image,) = images(process)
    wanted = order(process, image)
    derive_image(process, wanted)
    assert wish(process, wanted).state is MakingState.READY
    assert derivatives.read(process.blobs, image.sha256 or "").tile


def test_copies_that_a_power_cut_damaged_are_made_anew(
    process: WorkerProcess, submit: Submit
) -> None:
    submit({"a.png": png(1, 300)})
    (image,) = images(process)
    process.blobs.put(derivatives.key(image.sha256 or ""), b"")
    derive_image(process, order(process, image))
    assert derivatives.read(process.blobs, image.sha256 or "").tile


@pytest.mark.parametrize("gone", [False, True])
def test_what_can_t_be_decoded_is_said(process: WorkerProcess, submit: Submit, gone: bool) -> None:
    submit({"a.png": png(1)[:300]})
    (image,) = images(process)
    if gone:
        process.blobs.delete(image_key(image.sha256 or ""))
    wanted = order(process, image)
    derive_image(process, wanted)
    failed = wish(process, wanted)
    assert failed.state is MakingState.FAILED
    assert failed.message and failed.message.endswith(".")
    assert not derivatives.exist(process.blobs, image.sha256 or "")


def test_a_report_shows_images_whose_copies_are_gone(
    process: WorkerProcess, submit: Submit
) -> None:
    job_id = submit(files(3))
    work_through(process)
    drop_copies(process)
    assert sum(len(page.images) for page in _report(process, job_id).pages) == 3
    assert all(derivatives.exist(process.blobs, image.sha256 or "") for image in images(process))


def _report(process: WorkerProcess, job_id: int) -> PdfReader:
    with process.database.writing() as session:
        report_id = reports.order(session, session.get_one(Job, job_id), "A4").id
    make_report(process, report_id)
    with process.database.reading() as session:
        key = session.get_one(Report, report_id).blob_key
    return PdfReader(io.BytesIO(process.blobs.get(key or "")))


def saved(seed: int, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    with Picture.open(io.BytesIO(png(seed, 60))) as picture:
        picture.save(out, kind, **options)
    return out.getvalue()


def exif() -> Picture.Exif:
    made = Picture.Exif()
    made[0x010E] = made[0x013B] = _WORDS
    made.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0" + MARKER
    return made


def profile() -> bytes:
    """A colour profile of sRGB whose description names a patient."""
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return made.replace(b"s\0R\0G\0B", MARKER[:7]) if b"s\0R\0G\0B" in made else made + MARKER


def texts() -> PngImagePlugin.PngInfo:
    made = PngImagePlugin.PngInfo()
    made.add_text("Comment", _WORDS)
    made.add_itxt("XML:com.adobe.xmp", _WORDS)
    return made


def tags() -> TiffImagePlugin.ImageFileDirectory_v2:
    made = TiffImagePlugin.ImageFileDirectory_v2()
    made[270] = made[315] = _WORDS
    return made


TELLING: dict[str, Callable[[], bytes]] = {
    "comment.jpg": lambda: saved(1, "JPEG", comment=MARKER),
    "exif.jpg": lambda: saved(2, "JPEG", exif=exif()),
    "xmp.jpg": lambda: saved(3, "JPEG", xmp=MARKER),
    "profile.jpg": lambda: saved(4, "JPEG", icc_profile=profile() + MARKER),
    "behind.jpg": lambda: saved(5, "JPEG") + MARKER,
    "text.png": lambda: saved(6, "PNG", pnginfo=texts()),
    "exif.png": lambda: saved(7, "PNG", exif=exif()),
    "description.tif": lambda: saved(8, "TIFF", tiffinfo=tags()),
    "exif.webp": lambda: saved(9, "WEBP", exif=exif(), xmp=MARKER, lossless=True),
}


def test_nothing_of_a_file_s_metadata_leaves(
    process: WorkerProcess, blobs: MemoryBlobs, submit: Submit
) -> None:
    sent = {name: make() for name, make in TELLING.items()}
    assert all(MARKER in data for data in sent.values())
    job_id = submit(sent)
    work_through(process)
    assert {image.state for image in images(process)} == {ImageState.CLASSIFIED}
    for image in images(process):
        with process.database.writing() as session:
            wanted = explanations.order(session, session.get_one(Image, image.id)).id
        explain_image(process, wanted)
    pdf = _report(process, job_id)
    made = {key: data for key, data in blobs._kept.items() if not key.startswith("images/")}
    assert {key.split("/")[0] for key in made} > {"derivatives", "explanations", "reports"}
    assert [key for key, data in made.items() if MARKER in data] == []
    assert MARKER not in _unpacked(pdf)
    with process.database.reading() as session:
        rows = [*session.scalars(select(Image)), *session.scalars(select(Prediction))]
        told = [str(vars(row)) for row in rows]
    assert not [row for row in told if _WORDS in row]


def _unpacked(pdf: PdfReader) -> bytes:
    """All streams and strings of a PDF, unpacked."""
    parts = [str(pdf.metadata).encode()]
    for number in pdf.xref[0]:
        entry = pdf.get_object(number)
        parts.append(str(entry).encode())
        if isinstance(entry, StreamObject):
            parts.append(entry.get_data())
    return b"\n".join(parts)


def test_large_images_are_shrunk_before_they_are_shown(
    process: WorkerProcess, submit: Submit
) -> None:
    large = np.full((1500, 2000, 3), 200, np.uint8)
    out = io.BytesIO()
    Picture.fromarray(large).save(out, "PNG")
    submit({"large.png": out.getvalue()})
    work_through(process)
    (image,) = images(process)
    made = derivatives.read(process.blobs, image.sha256 or "")
    assert max(Picture.open(io.BytesIO(made.large)).size) <= 640
