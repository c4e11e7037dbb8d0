"""The locator and the ruler against boxes that people drew, and their cost.

    python -m benchmarks.locate ../shared/data

Judged on the photographs of bccd4 and the fields of draaslan. A cell is found if the middle of the
box lies in a drawn one; errors are shares of the drawn box's longer side. The red cells' diameter
stands against the median of those drawn whole, each the root of its box's area. Time is of one
thread, on images as they come out of the decoder, beside that of decoding them.
"""

from __future__ import annotations

import csv
import math
import statistics
import time
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import click

from lexicon.verdicts import Box
from ml.decoding import decode
from ml.reading import Location, Sight, Slide
from ml.reading.cropping import crop
from ml.reading.locate import locate
from ml.reading.redcells import diameter

EDGES = ("xmin", "ymin", "xmax", "ymax")

_Made = TypeVar("_Made")


@dataclass
class Sightings:
    """How one set was seen: hits and misses, errors, what was said to be seen, and the measured
    over the drawn size of the red cells."""

    hits: list[bool] = field(default_factory=list)
    centres: list[float] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)
    several: dict[bool, list[bool]] = field(default_factory=lambda: {True: [], False: []})
    reds: list[float] = field(default_factory=list)


def drawn_boxes(data: Path, kind: str = "wbc") -> dict[Path, list[Box]]:
    """The boxes of leucocytes (wbc) or red cells (rbc) of the photographs of bccd4 and of
    draaslan's fields."""
    boxes: dict[Path, list[Box]] = defaultdict(list)
    for path in sorted((data / "bccd4" / "boxes").glob("*.xml")):
        root = ET.parse(path).getroot()
        size = [int(root.findtext(f"size/{name}") or 0) for name in ("width", "height")]
        for drawn in root.iter("object"):
            if drawn.findtext("name") == kind.upper():
                pixels = [int(drawn.findtext(f"bndbox/{name}") or 0) for name in EDGES]
                shares = [edge / size[index % 2] for index, edge in enumerate(pixels)]
                boxes[data / "bccd4" / "originals" / f"{path.stem}.jpg"].append(Box(*shares))
    with (data / "fields" / "draaslan_boxes.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["label"] == kind:
                path = data / "fields" / "draaslan" / row["image"]
                boxes[path].append(Box(*(float(row[name]) for name in EDGES)))
    return boxes


def around(location: Location, boxes: list[Box]) -> Box | None:
    """The drawn box that the middle of the located one lies in."""
    if location.box is None:
        return None
    x, y = middle(location.box)
    inside = (b for b in boxes if b.left <= x <= b.right and b.top <= y <= b.bottom)
    return next(inside, None)


def red_size(boxes: list[Box], shape: tuple[int, ...]) -> float | None:
    """The typical side of red cells that were drawn whole, as a share of the image's longer side;
    None if fewer than three were."""
    height, width = shape[:2]
    whole = [b for b in boxes if min(b.left, b.top) > 0.01 and max(b.right, b.bottom) < 0.99]
    sides = [math.sqrt((b.right - b.left) * width * (b.bottom - b.top) * height) for b in whole]
    return statistics.median(sides) / max(height, width) if len(sides) > 2 else None


def middle(box: Box) -> tuple[float, float]:
    """Its middle, as shares of the image's width and height."""
    return (box.left + box.right) / 2, (box.top + box.bottom) / 2


def errors(located: Box, drawn: Box, shape: tuple[int, ...]) -> tuple[float, float]:
    """How far apart the middles are, as a share of the drawn side, and the ratio of the sides."""
    height, width = shape[:2]
    sides = [max((b.right - b.left) * width, (b.bottom - b.top) * height) for b in (located, drawn)]
    (x, y), (u, v) = middle(located), middle(drawn)
    return math.hypot((x - u) * width, (y - v) * height) / sides[1], sides[0] / sides[1]


def timed(times: list[float], make: Callable[[], _Made]) -> _Made:
    """What is made, its time in ms noted."""
    started = time.perf_counter()
    made = make()
    times.append(1000 * (time.perf_counter() - started))
    return made


@click.command()
@click.argument("data", type=click.Path(path_type=Path, exists=True))
def main(data: Path) -> None:
    """Print the figures for the sets in the folder DATA."""
    sets: dict[str, Sightings] = defaultdict(Sightings)
    times: dict[str, list[float]] = {
        step: [] for step in ("decode", "light", "locate", "red cells", "crop")
    }
    reds = drawn_boxes(data, "rbc")
    for path, boxes in drawn_boxes(data).items():
        if path.is_file():
            content = path.read_bytes()
            image = timed(times["decode"], partial(decode, content))
            slide = timed(times["light"], partial(Slide.of, image))
            location = timed(times["locate"], partial(locate, slide))
            timed(times["crop"], partial(crop, image, slide.light, location.box, 160, 1.3))
            note(sets[path.parent.name], location, boxes, image.shape)
            size = red_size(reds[path], image.shape)
            if location.box is not None and size is not None:
                ruler = timed(times["red cells"], partial(diameter, slide, location.box))
                sets[path.parent.name].reds.append((ruler or 0.0) / size)
    for name, sightings in sets.items():
        show(name, sightings)
    for step, each in times.items():
        click.echo(
            f"{step}: median {statistics.median(each):.2f} ms, mean {statistics.mean(each):.2f}"
        )


def show(name: str, sightings: Sightings) -> None:
    """Print the figures of one set."""
    hits = sightings.hits
    click.echo(f"{name}: {len(hits)} images, found {sum(hits) / len(hits):.3f}")
    ranked = sorted(sightings.centres)
    click.echo(
        f"  centre error: median {statistics.median(ranked):.3f}, "
        f"nine in ten within {ranked[int(0.9 * len(ranked))]:.3f}"
    )
    off = statistics.mean(abs(size - 1) for size in sightings.sizes)
    click.echo(
        f"  size ratio: median {statistics.median(sightings.sizes):.3f}, mean error {off:.3f}"
    )
    tenths = statistics.quantiles(sightings.reds, n=10)
    click.echo(
        f"  red cells measured over drawn, {len(sightings.reds)} images: "
        f"median {statistics.median(sightings.reds):.2f}, eight in ten from {tenths[0]:.2f} "
        f"to {tenths[-1]:.2f}"
    )
    for several, judged in sightings.several.items():
        kind = "several cells" if several else "one cell"
        click.echo(
            f"  of {len(judged)} images with {kind}, {sum(judged)} were said to hold several"
        )


def note(
    sightings: Sightings, location: Location, boxes: list[Box], shape: tuple[int, ...]
) -> None:
    """Enter what was found in one image."""
    drawn = around(location, boxes)
    sightings.hits.append(drawn is not None)
    sightings.several[len(boxes) > 1].append(location.sight is Sight.SEVERAL)
    if drawn is not None and location.box is not None:
        centre, size = errors(location.box, drawn, shape)
        sightings.centres.append(centre)
        sightings.sizes.append(size)


if __name__ == "__main__":
    main()
