"""Works out which files to send from the given paths, and under which names."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from contract.uploads import AnnouncedFile
from core.errors import ConfigurationError
from core.intake.archives import decode_names
from lexicon.folders import Skip, skipped_for
from lexicon.formats import is_archive_name
from lexicon.names import clean_name

_NAMED = 5


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file to send: where it is, and the name it is sent under."""

    path: Path
    name: str

    def entry(self) -> AnnouncedFile:
        """Return its manifest entry. An archive is refused unread, so it is not hashed."""
        digest = None
        if not is_archive_name(self.name):
            with self.path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        return AnnouncedFile(name=self.name, size=self.path.stat().st_size, sha256=digest)


def collect(paths: list[Path]) -> tuple[list[LocalFile], list[Skip]]:
    """Return the files to send, sorted by name, and the files that are skipped.

    A file named directly is sent whatever its name, unless it is a system file. From a folder and
    the folders in it, every file that may be an image is sent. Names are paths within the folder.
    If several paths are given, names start with as much of each path as tells their files apart.

    Raises:
        ConfigurationError: there is nothing to send.
    """
    sources = [_Source(path, several=len(paths) > 1) for path in paths]
    _tell_apart(sources)
    files: dict[Path, LocalFile] = {}
    skips: list[Skip] = []
    for source in sources:
        for path, name in source.names():
            files.setdefault(path, LocalFile(path, name))
        skips += source.skips()
    if not files:
        raise ConfigurationError(_nothing(skips))
    return sorted(files.values(), key=lambda file: (file.name, str(file.path))), skips


def _nothing(skips: list[Skip]) -> str:
    named = ", ".join(skip.name for skip in skips[:_NAMED])
    more = f" and {len(skips) - _NAMED:,} more" if len(skips) > _NAMED else ""
    skipped = f" Skipped: {named}{more}." if skips else ""
    return f"No images were found. Give image files, or folders that hold some.{skipped}"


class _Source:
    """A given file or folder: what it holds, and how much of its path the names include."""

    def __init__(self, path: Path, *, several: bool) -> None:
        self._path = path.resolve() if path.is_dir() else path.parent.resolve() / path.name
        self._folder = self._path if path.is_dir() else self._path.parent
        # The folders of the path that the names include.
        self._depth = 1 if several and path.is_dir() else 0
        self._inside: list[tuple[Path, str]] = []
        self._skips: list[Skip] = []
        below = _below(self._path) if path.is_dir() else [(self._path, _skipped_for_its_kind(path))]
        files = list(below)
        names = decode_names([file.relative_to(self._folder).as_posix() for file, _ in files])
        for (file, reason), name in zip(files, names, strict=True):
            self._add(file, name, reason, path.is_dir())

    def _add(self, path: Path, name: str, reason: str | None, in_folder: bool) -> None:
        by_name = skipped_for(name)
        # The name of a folder that is not entered says nothing about what it holds.
        if reason not in ("link", "unreadable") and (in_folder or by_name == "system"):
            reason = by_name or reason
        if reason:
            self._skips.append(Skip(name, reason))
        else:
            self._inside.append((path, name))

    @property
    def _prefix(self) -> str:
        folders = decode_names(self._folder.parts[1:])
        return "".join(f"{folder}/" for folder in folders[len(folders) - self._depth :])

    def names(self) -> Iterator[tuple[Path, str]]:
        """Yield the files to send, each with the name that the server will keep."""
        return ((path, clean_name(self._prefix + name)) for path, name in self._inside)

    def skips(self) -> list[Skip]:
        """Return the skipped files, named in the same way."""
        return [Skip(clean_name(self._prefix + skip.name), skip.reason) for skip in self._skips]

    def say_more(self) -> bool:
        """Add one more folder of the path to the names; return whether there was one."""
        if self._depth == len(self._folder.parts) - 1:
            return False
        self._depth += 1
        return True


def _tell_apart(sources: list[_Source]) -> None:
    """Lengthen the names of paths whose files would share a name, as long as that helps."""
    while True:
        by_name: dict[str, dict[Path, _Source]] = {}
        for source in sources:
            for path, name in source.names():
                by_name.setdefault(name, {})[path] = source
        # Two files of one folder share the path before them, however long it is.
        groups = (set(files.values()) for files in by_name.values())
        unclear = {source for sharing in groups if len(sharing) > 1 for source in sharing}
        if not any([source.say_more() for source in unclear]):
            return


def _below(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """Yield the files below a folder, and the folders not entered, each with why it is skipped."""
    unreadable: list[Path] = []

    def note(error: OSError) -> None:
        unreadable.append(Path(error.filename))

    for root, folders, names in os.walk(folder, onerror=note):
        folders.sort()
        for name in folders:
            if (path := Path(root) / name).is_symlink():
                yield path, "link"
        for name in sorted(names):
            yield (path := Path(root) / name), _skipped_for_its_kind(path)
    yield from ((path, "unreadable") for path in unreadable)


def _skipped_for_its_kind(path: Path) -> str | None:
    """Skip pipes, to which nobody may ever write. A missing file is reported when it is sent."""
    try:
        return None if stat.S_ISREG(path.stat().st_mode) else "special"
    except OSError:
        return None
