"""Files and folders → predictions → a CSV table, without any server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TextIO

from lexicon import results
from lexicon.folders import skipped_for
from lexicon.formats import is_image_name
from lexicon.verdicts import Verdict
from ml.bundle import Bundle, Metadata
from ml.decoding import UnreadableImage
from ml.reading import Reading, read
from ml.serving.classifier import Classifier
from ml.serving.looking import classify_readings

FAILED = "failed"


@dataclass(frozen=True)
class ImageFile:
    """A file to classify, and what the table calls it."""

    name: str
    path: Path


@dataclass(frozen=True)
class Row:
    """A file with its verdict, or with the reason why there is none."""

    file: str
    verdict: Verdict | None
    reason: str = ""


def find_images(paths: Iterable[Path]) -> list[ImageFile]:
    """The given files, and those in the given folders at any depth, sorted by name.

    A file in a folder is named by its path inside that folder, with forward slashes; there, only
    files with an image's suffix count, and none that an upload of the folder would skip.

    Raises:
        FileNotFoundError: if there is nothing at a path.
    """
    files: dict[Path, ImageFile] = {}
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"There is no file or folder {path}.")
        for image in _in_folder(path) if path.is_dir() else [ImageFile(path.name, path)]:
            files.setdefault(image.path.resolve(), image)
    return sorted(files.values(), key=lambda image: (image.name, str(image.path)))


def classify_files(
    classifier: Classifier, files: Sequence[ImageFile], batch: int = 32
) -> Iterator[Row]:
    """One row per file, in order; an unreadable file has a reason instead of a prediction.

    The next batch is read and decoded while one is classified.
    """
    with ThreadPoolExecutor() as pool:
        for names, readings in _readings(pool, files, classifier.bundle.metadata, batch):
            yield from _rows(classifier, names, readings)


def write_csv(rows: Iterable[Row], bundle: Bundle, file: TextIO) -> None:
    """The table: `lexicon.results.COLUMNS`, the probability of each class, and what went wrong."""
    classes = bundle.metadata.classes
    table = results.Table(file)
    table.write(results.head(classes))
    for row in rows:
        table.write(_cells(row, bundle))


def _in_folder(folder: Path) -> Iterator[ImageFile]:
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        wanted = is_image_name(path.name) and skipped_for(name.as_posix()) is None
        if wanted and path.is_file():
            yield ImageFile(name.as_posix(), path)


def _readings(
    pool: ThreadPoolExecutor, files: Sequence[ImageFile], metadata: Metadata, batch: int
) -> Iterator[tuple[list[str], list[Reading | UnreadableImage]]]:
    """Batches of names and readings; one batch is being read while another is used."""
    remaining = iter(files)
    ahead = _submit(pool, list(islice(remaining, batch)), metadata)
    while ahead:
        current, ahead = ahead, _submit(pool, list(islice(remaining, batch)), metadata)
        yield [name for name, _ in current], [future.result() for _, future in current]


def _submit(
    pool: ThreadPoolExecutor, files: list[ImageFile], metadata: Metadata
) -> list[tuple[str, Future[Reading | UnreadableImage]]]:
    return [(file.name, pool.submit(_read, file.path, metadata)) for file in files]


def _read(path: Path, metadata: Metadata) -> Reading | UnreadableImage:
    """What the network sees, or the error: one bad file must not stop the others."""
    try:
        return read(path.read_bytes(), metadata.shape, metadata.preprocessing)
    except UnreadableImage as error:
        return error
    except OSError as error:
        return UnreadableImage("unreadable", f"The file can't be read: {error.strerror}.")


def _rows(
    classifier: Classifier, names: list[str], readings: list[Reading | UnreadableImage]
) -> Iterator[Row]:
    readable = [reading for reading in readings if not isinstance(reading, UnreadableImage)]
    verdicts = iter(classify_readings(classifier, readable))
    for name, reading in zip(names, readings, strict=True):
        if isinstance(reading, UnreadableImage):
            yield Row(name, None, str(reading))
        else:
            yield Row(name, next(verdicts))


def _cells(row: Row, bundle: Bundle) -> list[str]:
    classes, verdict = bundle.metadata.classes, row.verdict
    probabilities = dict(zip(classes, verdict.probabilities, strict=True)) if verdict else {}
    title = bundle.title if verdict else ""
    return results.row(
        row.file, verdict, title, probabilities, classes, state=FAILED, message=row.reason
    )
