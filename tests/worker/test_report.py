"""The report as someone who opens it reads it."""

from __future__ import annotations

import dataclasses
import io
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader
from sqlalchemy import select, update

from core import jobs
from core.blobs import LocalBlobs, MemoryBlobs, image_key
from core.db import clock
from core.made import derivatives, reports
from core.states import ImageState, MakingState
from core.tables import Image, Job, Report, Shard, Skipped
from lexicon.cells import cell_type
from lexicon.folders import SKIPS
from lexicon.words import NOTICE
from ml.decoding import decode
from tests.conftest import SmallDisk
from tests.worker.conftest import Submit, Watched, counts_of, png
from tests.worker.test_pipeline import files, work_through
from worker.copies import copies
from worker.process import WorkerProcess
from worker.report import make_report
from worker.report.contents import THUMBNAILS_A_CLASS
from worker.report.typeface import PLACEHOLDER

PICTURES = 100


def order(process: WorkerProcess, job_id: int, paper: str = "A4") -> int:
    with process.database.writing() as session:
        return reports.order(session, session.get_one(Job, job_id), paper).id


def report_of(process: WorkerProcess, report_id: int) -> Report:
    with process.database.reading() as session:
        return session.get_one(Report, report_id)


def make(process: WorkerProcess, job_id: int, paper: str = "A4") -> PdfReader:
    report_id = order(process, job_id, paper)
    make_report(process, report_id)
    report = report_of(process, report_id)
    assert report.state is MakingState.READY, report.message
    return PdfReader(io.BytesIO(process.blobs.get(report.blob_key or "")))


def text_of(pdf: PdfReader) -> str:
    return "\n".join(page.extract_text() for page in pdf.pages)


def squeezed(text: str) -> str:
    return re.sub(r"\s", "", text)


def test_a_report_says_what_was_found(process: WorkerProcess, submit: Submit) -> None:
    images = files(20) | {"broken.png": png(99)[:300], "twin.png": png(3)}
    job_id = submit(images, name="Ward 3", reference="S-2026/17")
    work_through(process)
    text = text_of(make(process, job_id))
    with process.database.reading() as session:
        differential = jobs.differential(session, job_id)
    for class_count in differential.classes:
        cell = cell_type(class_count.name)
        line = f"{cell.code} {cell.label} {class_count.count} {class_count.share * 100:.1f} %"
        assert squeezed(line) in squeezed(text)
    for part in ("St Mary's", "Ward 3", "S-2026/17", "broken.png", "twin.png", "no. 4"):
        assert part in text
    digest = process.models.shipped.digest
    assert digest in squeezed(text)
    assert "Not signed." in text and "Signature" in text


def test_a_report_names_the_files_that_were_skipped(process: WorkerProcess, submit: Submit) -> None:
    job_id = submit(files(3))
    with process.database.writing() as session:
        session.add(Skipped(job_id=job_id, name="slides/notes.txt", reason="not_image"))
        session.add(Skipped(job_id=job_id, name="slides/.trash/cell.jpg", reason="hidden"))
    work_through(process)
    text = text_of(make(process, job_id))
    assert re.search(r"Skipped\s+2", text) and "Skipped files" in text
    assert f"slides/notes.txt {SKIPS['not_image']}" in re.sub(r"\s+", " ", text)
    assert f"slides/.trash/cell.jpg {SKIPS['hidden']}" in re.sub(r"\s+", " ", text)


def test_a_report_of_a_job_without_skipped_files_has_no_word_of_them(
    process: WorkerProcess, submit: Submit
) -> None:
    job_id = submit(files(3))
    work_through(process)
    assert "Skipped" not in text_of(make(process, job_id))


@pytest.mark.parametrize(("paper", "size"), [("A4", (595, 842)), ("Letter", (612, 792))])
def test_every_page_has_its_number_the_notice_and_the_model(
    process: WorkerProcess, submit: Submit, paper: str, size: tuple[int, int]
) -> None:
    job_id = submit(files(90))
    work_through(process)
    pdf = make(process, job_id, paper)
    assert len(pdf.pages) > 2
    for number, page in enumerate(pdf.pages, 1):
        text = page.extract_text()
        assert NOTICE in text
        assert f"Page {number} of {len(pdf.pages)}" in re.sub(r"\s+", " ", text)
        assert process.models.shipped.digest[:16] in text
        assert (round(page.mediabox.width), round(page.mediabox.height)) == size


def test_every_image_is_in_the_table_and_has_its_thumbnail(
    process: WorkerProcess, submit: Submit
) -> None:
    job_id = submit(files(30))
    work_through(process)
    pdf = make(process, job_id)
    text = text_of(pdf)
    assert all(f"cell-{seed}.png" in text for seed in range(30))
    assert sum(len(page.images) for page in pdf.pages) == 30


def test_any_name_prints_and_none_is_read_as_markup(process: WorkerProcess, submit: Submit) -> None:
    names = ["<b>&amp;</b>.png", "血液-7.png", "דם-12.png", "😀🩸.png", "x" * 300 + ".png"]
    job_id = submit({name: png(seed) for seed, name in enumerate(names)}, name="<i>&ward")
    work_through(process)
    text = squeezed(text_of(make(process, job_id)))
    assert "<b>&amp;" in text and "<i>&ward" in text
    assert f"{PLACEHOLDER}{PLACEHOLDER}-7.png" in text
    assert "מד" in text or "דם" in text
    assert f"{PLACEHOLDER}{PLACEHOLDER}.png" in text
    assert "x" * 100 in text


def test_a_job_whose_images_all_failed_has_a_report(process: WorkerProcess, submit: Submit) -> None:
    job_id = submit({"a.png": png(1)[:300], "b.png": png(2)[:300]})
    work_through(process)
    text = text_of(make(process, job_id))
    assert "No image of this job was classified" in text
    assert "a.png" in text and "b.png" in text
    assert NOTICE in text


def test_a_cancelled_job_s_report_says_what_was_not_classified(
    process: WorkerProcess, submit: Submit
) -> None:
    job_id = submit(files(3))
    with process.database.writing() as session:
        jobs.cancel(session, session.get_one(Job, job_id))
    text = text_of(make(process, job_id))
    assert "cancelled" in text and "not classified" in text


def test_a_class_of_many_cells_shows_the_surest_and_says_so(
    process: WorkerProcess, submit: Submit
) -> None:
    job_id = submit(files(THUMBNAILS_A_CLASS + 5))
    work_through(process)
    with process.database.writing() as session:
        session.execute(update(Image).values(label="neutrophil", outcome="accepted"))
        for shard in session.scalars(select(Shard)):
            shard.accepted = {"neutrophil": shard.classified}
            shard.uncertain = shard.unfamiliar = 0
    pdf = make(process, job_id)
    assert sum(len(page.images) for page in pdf.pages) == THUMBNAILS_A_CLASS
    assert f"The {THUMBNAILS_A_CLASS} with the highest confidence are shown" in text_of(pdf)


def test_a_picture_that_is_gone_leaves_its_place_empty(
    process: WorkerProcess, submit: Submit
) -> None:
    job_id = submit(files(2))
    work_through(process)
    with process.database.reading() as session:
        sha256 = session.scalars(select(Image.sha256)).first() or ""
    process.blobs.delete(derivatives.key(sha256))
    process.blobs.delete(image_key(sha256))
    assert "no picture" in text_of(make(process, job_id))


def test_two_reports_of_one_job_differ_in_nothing_but_the_time(
    process: WorkerProcess, submit: Submit
) -> None:
    job_id = submit(files(10))
    work_through(process)
    with process.database.writing() as session:
        ids = [Report(job_id=job_id, paper="A4"), Report(job_id=job_id, paper="A4")]
        session.add_all(ids)
    texts = []
    for report in ids:
        make_report(process, report.id)
        key = report_of(process, report.id).blob_key or ""
        text = text_of(PdfReader(io.BytesIO(process.blobs.get(key))))
        texts.append(re.sub(r"Created .* UTC", "", text))
    assert texts[0] == texts[1]


def test_a_report_is_made_once_however_often_it_is_rung_for(
    process: WorkerProcess, submit: Submit
) -> None:
    job_id = submit(files(2))
    work_through(process)
    report_id = order(process, job_id)
    for _ in range(3):
        make_report(process, report_id)
    report = report_of(process, report_id)
    assert (report.attempt, report.state) == (1, MakingState.READY)


class Interrupting(MemoryBlobs):
    """A store that lets a test do something before a report is written into it."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        super().__init__()
        self._meanwhile = meanwhile

    @contextmanager
    def stage(self) -> Iterator[Any]:
        self._meanwhile()
        with super().stage() as staging:
            yield staging


def test_a_maker_that_lost_its_lease_does_not_hand_its_report_over(
    process: WorkerProcess, submit: Submit
) -> None:
    job_id = submit(files(2))
    work_through(process)
    report_id = order(process, job_id)

    def steal() -> None:
        with process.database.writing() as session:
            session.execute(update(Report).values(lease_until=clock() - 1))
        make_report(dataclasses.replace(process, name="host:2"), report_id)

    make_report(dataclasses.replace(process, blobs=Interrupting(steal)), report_id)
    report = report_of(process, report_id)
    assert (report.state, report.fence) == (MakingState.READY, 2)
    assert process.blobs.exists(report.blob_key or "")


def test_a_job_that_runs_again_has_its_report_refused_in_words(
    process: WorkerProcess, submit: Submit
) -> None:
    job_id = submit(files(2))
    work_through(process)
    report_id = order(process, job_id)
    with process.database.writing() as session:
        jobs.run_again(session, session.get_one(Job, job_id), process.settings)
    make_report(process, report_id)
    report = report_of(process, report_id)
    assert report.state is MakingState.FAILED
    assert report.message and "running again" in report.message


def test_on_a_full_disk_a_report_is_put_off_and_made_once_there_is_room(
    process: WorkerProcess, submit: Submit, small_disk: SmallDisk
) -> None:
    job_id = submit(files(2))
    work_through(process)
    report_id = order(process, job_id)
    full = dataclasses.replace(process, blobs=LocalBlobs(small_disk.root))
    full.blobs.put("a", b"x")
    small_disk.fill()
    for _ in range(process.settings.max_attempts + 1):
        make_report(full, report_id)
        report = report_of(process, report_id)
        assert report.state is MakingState.MAKING
        assert report.message == (
            "The server's disk is full. This will be made automatically once there is room."
        )
        with process.database.writing() as session:
            session.execute(update(Report).values(lease_until=0))
        jobs.sweep(process.database, process.settings)
        assert report_of(process, report_id).state is MakingState.WAITING
    small_disk.free()
    make_report(full, report_id)
    report = report_of(process, report_id)
    assert (report.state, report.message) == (MakingState.READY, None)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="measures memory by /proc")
def test_a_report_of_three_thousand_images_stays_small_in_memory(
    process: WorkerProcess, submit: Submit, watched: Watched, tmp_path: Path
) -> None:
    job_id = submit(files(4))
    work_through(process)
    assert counts_of(process, job_id).classified == 4
    stored = LocalBlobs(process.settings.blobs)
    grow(process, job_id, 3000, stored)
    code = """
        import io
        from pathlib import Path
        from types import SimpleNamespace
        from core.blobs import LocalBlobs
        from core.db import Database
        from core.tables import Job
        from core.settings import Settings
        from ml.bundle import Bundle, default_bundle_path
        from worker.lease import Lease
        from worker.report import contents, pdf
        settings = Settings.from_env()
        models = SimpleNamespace(shipped=Bundle.load(default_bundle_path()))
        blobs = LocalBlobs(settings.blobs)
        process = SimpleNamespace(settings=settings, blobs=blobs, models=models)
        out = io.BytesIO()
        with Database(settings.database).reading() as session:
            job = contents.read(session, session.get_one(Job, {job_id}))
            pdf.write(out, session, job, process, "A4", Lease())
        status = Path("/proc/self/status").read_text()
        print(int(status.split("VmHWM:")[1].split()[0]) // 1024)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code).format(job_id=job_id)],
        env={"HEMATOVISION_DATA": str(process.settings.data)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 200


def grow(process: WorkerProcess, job_id: int, count: int, stored: LocalBlobs) -> None:
    """Make a job of ``count`` classified images, its pictures in a store of files."""
    labels = process.models.shipped.metadata.classes
    with process.database.writing() as session:
        session.add_all(
            Image(
                job_id=job_id,
                position=position,
                name=f"synthetic/slide-{position % 7}/cell number {position}.png",
                state=ImageState.CLASSIFIED,
                sha256=f"{position % PICTURES:064x}",
                size=1,
                label=labels[position % 4],
                confidence=position / count,
                outcome="accepted",
                model_digest=process.models.shipped.digest,
            )
            for position in range(4, count)
        )
    for number in range(PICTURES):
        derivatives.keep(stored, f"{number:064x}", copies(decode(png(number, 120))))
