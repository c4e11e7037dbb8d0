"""Checks that a bundle works and is what it claims to be, before anybody may choose it.

A digest says that a bundle's files are those that were written, not who wrote them or what they do.
`check_metadata` reads what it says of itself, `try_out` runs its networks on drawn images, and
`try_apart` does so in a process of its own: a malicious network may use any amount of memory
and time.
"""

from __future__ import annotations

import math
import multiprocessing
import re
import resource
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ml.bundle import Bundle, BundleError, Metadata
from ml.decoding import Pixels
from ml.reading import Location, Sight
from ml.serving.classifier import Classifier
from ml.serving.explain import Head
from ml.serving.neighbours import References

if TYPE_CHECKING:
    from ml.serving.onnxruntime_backend import OnnxClassifier

_CLASS = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TITLE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+-]{0,39}")
_FOR_CLASSES = "Use up to 40 lower-case letters, digits and underscores."
_FOR_TITLES = "Use up to 40 letters, digits, spaces, dots, hyphens, underscores and plus signs."
_FEWEST_CLASSES, _MOST_CLASSES = 2, 64
_SHORTEST_SIDE, _LONGEST_SIDE = 32, 1024
# What a trial may take: a MobileNetV2 needs a twentieth of it.
_MEMORY_BYTES, _SECONDS = 4 * 2**30, 120
# The largest logit of a trained network is some tens; what its head and its maps add up to may
# differ from it by rounding.
_LARGEST_LOGIT, _TOLERANCE = 1e4, 1e-2


class BundleUnfit(BundleError):
    """The bundle does not work, or states something impossible."""


def check_metadata(metadata: Metadata) -> None:
    """Check what a bundle says of itself.

    Class names are lower-case words, since pages, exports and file names are made of them.

    Raises:
        BundleUnfit: something can't be; the sentence says what.
    """
    for what, value in (("name", metadata.name), ("version", metadata.version)):
        if not isinstance(value, str) or not _TITLE.fullmatch(value):
            raise BundleUnfit(f"The bundle's {what} can't be shown. {_FOR_TITLES}")
    if not all(isinstance(name, str) and _CLASS.fullmatch(name) for name in metadata.classes):
        raise BundleUnfit(f"A class of the bundle has a name that can't be used. {_FOR_CLASSES}")
    if len(set(metadata.classes)) != len(metadata.classes):
        raise BundleUnfit("The bundle lists a class twice.")
    if not _FEWEST_CLASSES <= len(metadata.classes) <= _MOST_CLASSES:
        raise BundleUnfit(f"A bundle must have {_FEWEST_CLASSES} to {_MOST_CLASSES} classes.")
    for side in (metadata.shape.height, metadata.shape.width):
        if not isinstance(side, int) or not _SHORTEST_SIDE <= side <= _LONGEST_SIDE:
            raise BundleUnfit(f"A network takes {_SHORTEST_SIDE} to {_LONGEST_SIDE} pixels a side.")
    _require_finite(metadata)


def _require_finite(metadata: Metadata) -> None:
    for part in (metadata.scores, metadata.trust, metadata.int8, metadata.preprocessing.__dict__):
        if not all(map(math.isfinite, _numbers(part))):
            raise BundleUnfit("The bundle's metadata contain a number that is not finite.")


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for entry in value:
            yield from _numbers(entry)
    elif isinstance(value, int | float):
        yield value


def try_out(bundle: Bundle) -> None:
    """Run a bundle's networks, float and 8-bit, on the CPU, and read all that it carries.

    Raises:
        BundleUnfit: a network can't be loaded, or does not give what is asked of it; or a file
            can't be read. The sentence says what.
    """
    # Processes that only start others also import this module, and must not load it.
    from ml.serving.onnxruntime_backend import OnnxClassifier

    check_metadata(bundle.metadata)
    try:
        networks = [OnnxClassifier(bundle, threads=1, exact=True)]
        if bundle.int8:
            networks.append(OnnxClassifier(bundle, threads=1, small=True))
        for network in networks:
            check_answers(network)
        _check_head(networks[0])
        _check_references(bundle)
    except BundleError:
        raise
    except Exception as error:
        # The libraries that compute and unpack raise what they like over bytes they can't read.
        reason = " ".join(str(error).split())[:200]
        raise BundleUnfit(f"The bundle's network can't be run: {reason}") from error


def try_apart(folder: Path) -> None:
    """`try_out` in a process of its own, within limits of memory and time.

    Raises:
        BundleUnfit: as `try_out`; or it exceeded its limits, or ended its process.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_try_here, args=(folder, sender), daemon=True)
    process.start()
    sender.close()
    try:
        # Bytes, not pickled objects: what runs there is not trusted.
        answered = receiver.poll(_SECONDS)
        problem = receiver.recv_bytes().decode() if answered else "Running it takes too long."
    except EOFError:
        problem = "Running it crashes the process."
    finally:
        process.kill()
        process.join()
        receiver.close()
    if problem:
        raise BundleUnfit(f"The bundle failed its trial and was not added. {problem}")


def _try_here(folder: Path, answer: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    problem = ""
    try:
        try_out(Bundle.load(folder))
    except BundleError as error:
        problem = str(error)
    answer.send_bytes(problem.encode())


def check_answers(network: Classifier) -> None:
    """Ask a network about drawn images, and look at the shape and range of its answers.

    Raises:
        BundleUnfit: it does not give what is asked of it.
    """
    images = _drawn(network.bundle.metadata)
    outputs = network.classify(images)
    classes, count = len(network.bundle.metadata.classes), len(images)
    _require(outputs.logits, (count, classes), "logits")
    _require(outputs.features, (count, outputs.features.shape[-1]), "features")
    if not np.abs(outputs.logits).max() < _LARGEST_LOGIT:
        raise BundleUnfit("The network's logits are far too large.")
    network.trust.judge(outputs, [Location(Sight.ONE, None)] * count)


def _drawn(metadata: Metadata) -> Pixels:
    """uint8 (4, height, width, 3): noise, a dark disc on a light ground, all dark, all light."""
    height, width = metadata.shape.height, metadata.shape.width
    rows, columns = np.ogrid[:height, :width]
    disc = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < (min(height, width) / 4) ** 2
    images = np.zeros((4, height, width, 3), np.uint8)
    images[0] = np.random.default_rng(0).integers(0, 256, images[0].shape)
    images[1] = np.where(disc[:, :, np.newaxis], (110, 70, 150), (230, 220, 225))
    images[3] = 255
    return images


def _check_head(network: OnnxClassifier) -> None:
    """The head that explains is the network's own: it gives the same logits."""
    images = _drawn(network.bundle.metadata)
    maps, outputs = network.activations(images), network.classify(images)
    if maps.ndim != 4 or maps.shape[:2] != (len(images), outputs.features.shape[1]):
        raise BundleUnfit("The network's last feature map does not match its features in shape.")
    logits = _by_head(Head.load(network.bundle), maps)
    _require(logits, outputs.logits.shape, "head")
    if not np.allclose(logits, outputs.logits, atol=_TOLERANCE, rtol=_TOLERANCE):
        raise BundleUnfit("The bundle's head.npz does not belong to its network.")


def _by_head(head: Head, maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (N, classes): the logits of feature maps (N, F, h, w)."""
    if head.kernel.ndim == 2:
        return np.asarray(maps.mean(axis=(2, 3)) @ head.kernel + head.bias, np.float32)
    return np.asarray(np.einsum("nfhw,hwfc->nc", maps, head.kernel) + head.bias, np.float32)


def _check_references(bundle: Bundle) -> None:
    references = References.load(bundle)
    if references is None:
        return
    if not np.isfinite(references.features).all():
        raise BundleUnfit("The bundle's reference cells contain a number that is not finite.")
    if not set(references.labels) <= set(bundle.metadata.classes):
        raise BundleUnfit("The bundle's reference cells have classes that it does not know.")


def _require(array: NDArray[np.float32], shape: Sequence[int], what: str) -> None:
    if array.shape != tuple(shape):
        raise BundleUnfit(f"The network's {what} have the shape {array.shape}, not {tuple(shape)}.")
    if not np.isfinite(array).all():
        raise BundleUnfit(f"The network's {what} contain a number that is not finite.")
