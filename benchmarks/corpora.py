"""Files that nobody here made: through the door and the decoder, and held to a second decoder.

    pip download --no-deps --no-binary :all: pillow imageio tifffile scikit-image imagecodecs
    python -m benchmarks.corpora FOLDER...

Every file of the folders is sent to the door, and what that lets in to the decoder.
The second decoder is libvips where `pyvips` is installed (the package `pyvips-binary` brings the
library), and OpenCV where that can't read the file. Pictures that differ from it are listed with
the mean difference of a sample, largest first, to be looked at with `--pictures`: ours on the left.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import get_context
from operator import itemgetter
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from PIL import Image

from core.blobs import MemoryBlobs
from core.errors import Refused
from core.intake import Limits, accept
from core.settings import Settings
from ml.decoding import Pixels, UnreadableImage, decode

_DIFFERENT = 10.0
_DAMAGED = ("damaged", "truncated")


@dataclass
class Tally:
    """What became of one folder's files."""

    files: int = 0
    read: int = 0
    compared: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    different: list[tuple[float, str]] = field(default_factory=list)

    def line(self, name: str) -> str:
        """The tally as a row of the table."""
        refused = self.refused.total()
        return (
            f"{name:24} {self.files:6} {self.read:6} {refused:8} {len(self.broken):8} "
            f"{self.compared:9} {len(self.different):10}"
        )


@dataclass(frozen=True)
class _Seen:
    """Our picture, the mean difference of the second decoder's nearest to it, and that one."""

    ours: Pixels
    difference: float | None
    nearest: Pixels | None


@dataclass(frozen=True)
class _Refusal:
    """A refusal at the door or by the decoder."""

    code: str
    words: str


@click.command()
@click.argument(
    "folders",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option(
    "--pictures", type=click.Path(path_type=Path), help="Put both beside each other here."
)
def main(folders: Sequence[Path], pictures: Path | None) -> None:
    """Send the files of FOLDERS through the door and the decoder, and compare."""
    tallies = {folder: _through(folder, pictures) for folder in folders}
    click.echo(f"{'folder':24}  files   read  refused   broken  compared  different")
    for folder, tally in tallies.items():
        click.echo(tally.line(folder.name[:24]))
    for folder, tally in tallies.items():
        click.echo(f"\n{folder.name}: refused by name: {dict(tally.refused.most_common())}")
        for name in sorted(tally.broken):
            click.echo(f"  broken     {name}")
        for difference, name in sorted(tally.different, reverse=True):
            click.echo(f"  {difference:6.1f} off {name}")


def _through(folder: Path, pictures: Path | None) -> Tally:
    """One folder's files, one after the other, in a process that may fall over one of them."""
    tally, pool = Tally(), _process()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        tally.files += 1
        name = str(path.relative_to(folder))
        try:
            outcome = pool.submit(_outcome, path).result()
        except BrokenProcessPool:
            tally.broken.append(f"{name}: the process died")
            pool = _process()
            continue
        if isinstance(outcome, _Seen):
            _note(tally, name, outcome, pictures)
        elif outcome.code in _DAMAGED:
            tally.broken.append(f"{name}: {outcome.words}")
        else:
            # What is meant by "unsupported" is in its words.
            tally.refused[outcome.words if outcome.code == "unsupported" else outcome.code] += 1
    pool.shutdown()
    return tally


def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def _outcome(path: Path) -> _Seen | _Refusal:
    """What becomes of a file at the door and in the decoder, and how others see it."""
    data, settings = path.read_bytes(), Settings()
    try:
        limits = Limits(settings.max_file_bytes, settings.max_pixels)
        accept(io.BytesIO(data), MemoryBlobs(), limits)
        ours = decode(data, settings.max_pixels)
    except (Refused, UnreadableImage) as error:
        return _Refusal(error.code, str(error))
    differences = [
        (float(np.abs(ours.astype(np.int16) - other).mean()), other)
        for other in _others(data, ours.shape[:2])
    ]
    return _Seen(ours, *min(differences, key=itemgetter(0), default=(None, None)))


def _note(tally: Tally, name: str, seen: _Seen, pictures: Path | None) -> None:
    """Note the file as different if no second decoder that reads it shows nearly the same."""
    tally.read += 1
    if seen.difference is None or seen.nearest is None:
        return
    tally.compared += 1
    if seen.difference <= _DIFFERENT:
        return
    tally.different.append((seen.difference, name))
    if pictures:
        pictures.mkdir(parents=True, exist_ok=True)
        both = Image.fromarray(np.hstack([seen.ours, seen.nearest]))
        both.save(pictures / f"{name.replace('/', '_')}.png")


def _others(data: bytes, shape: tuple[int, ...]) -> Iterator[Pixels]:
    """The picture as others see it, brought to the same shape."""
    for decoder in (_by_vips, _by_opencv):
        picture = decoder(data)
        if picture is not None:
            size = (shape[1], shape[0])
            yield cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8)


def _by_vips(data: bytes) -> Pixels | None:
    if find_spec("pyvips") is None:
        return None
    pyvips: Any = import_module("pyvips")
    try:
        image = pyvips.Image.new_from_buffer(data, "").autorot()
        if image.get_typeof("icc-profile-data"):
            image = image.icc_transform("srgb", black_point_compensation=True)
        image = image.colourspace("srgb")
        if image.hasalpha():
            image = image.flatten(background=255)
        pixels = image.cast("uchar").numpy()
    except pyvips.Error:
        return None
    channels = pixels.reshape(*pixels.shape[:2], -1)
    return channels[..., :3] if channels.shape[2] >= 3 else np.repeat(channels[..., :1], 3, axis=2)


def _by_opencv(data: bytes) -> Pixels | None:
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        return None
    return None if picture is None else picture.astype(np.uint8)


if __name__ == "__main__":
    main()
