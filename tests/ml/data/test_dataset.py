"""Where samples come from, and that no split ever cuts a photograph."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from ml.data import DataError, LeakingSplit, Sample, read_folder
from ml.data.dataset import (
    counts,
    data_hash,
    group_of,
    grouped_split,
    of_classes,
    random_split,
    require_grouped,
    spread,
)


def sample(number: int, label: str = "monocyte", group: str | None = "a") -> Sample:
    file = f"{label}/{number}.png"
    return Sample(Path(file), file, label, "set", "train", group)


def samples(groups: dict[str, int], label: str = "monocyte") -> list[Sample]:
    """So many samples of each photograph."""
    names = [name for name, count in groups.items() for _ in range(count)]
    return [sample(number, label, name) for number, name in enumerate(names)]


GROUPED = st.lists(
    st.tuples(st.sampled_from(["monocyte", "neutrophil"]), st.integers(0, 12)), max_size=60
).map(
    lambda pairs: [
        sample(number, label, f"{label}-{group}")
        for number, (label, group) in enumerate(
            [*pairs, *((name, group) for name in ("monocyte", "neutrophil") for group in (0, 1))]
        )
    ]
)


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)


def test_a_source_map_gives_split_label_and_photograph(tmp_path: Path) -> None:
    header = "split,label,file,source_image\n"
    rows = "TEST,MONOCYTE,1.png,photo7\nTRAIN,EOSINOPHIL,1.png,photo8\n"
    (tmp_path / "source_map.csv").write_text(header + rows)
    first, second = read_folder(tmp_path)
    assert (first.file, first.label, first.split) == ("TEST/MONOCYTE/1.png", "monocyte", "test")
    assert group_of(first) == f"{tmp_path.name}/photo7"
    assert second.path == tmp_path / "TRAIN" / "EOSINOPHIL" / "1.png"


def test_a_manifest_without_groups_makes_each_file_its_own_photograph(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("file,class,split\na/1.jpg,ig,val\n")
    (only,) = read_folder(tmp_path)
    assert (only.label, only.split, only.group) == ("immature_granulocyte", "val", "a/1.jpg")


def test_a_manifest_may_name_the_photographs(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("file,class,group\na/1.jpg,BA,g1\n")
    assert read_folder(tmp_path)[0].group == "g1"


def test_folders_of_classes_leave_the_photographs_unknown(tmp_path: Path) -> None:
    write(tmp_path / "Monocyte" / "1.png")
    (tmp_path / "Monocyte" / "notes.txt").write_text("no image")
    (only,) = read_folder(tmp_path)
    assert (only.label, only.group, only.split) == ("monocyte", None, "")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no folder .*nowhere"):
        read_folder(tmp_path / "nowhere")


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no labelled images"):
        read_folder(tmp_path)


def test_a_class_that_is_no_cell_type_is_named(tmp_path: Path) -> None:
    write(tmp_path / "sunflower" / "1.png")
    with pytest.raises(DataError, match="'sunflower' is not a cell type"):
        read_folder(tmp_path)


def test_a_table_without_a_needed_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("file,kind\na/1.jpg,BA\n")
    with pytest.raises(DataError, match="no column 'class'"):
        read_folder(tmp_path)


def test_a_class_without_images_is_named() -> None:
    with pytest.raises(DataError, match="no images of eosinophil"):
        of_classes([sample(1)], ("eosinophil", "monocyte"))


def test_other_cells_are_left_out() -> None:
    both = [sample(1), sample(2, "platelet")]
    assert of_classes(both, ("monocyte",)) == both[:1]


@given(GROUPED, st.floats(0.05, 0.6), st.integers(0, 5))
def test_a_grouped_split_never_cuts_a_photograph(
    everything: list[Sample], share: float, seed: int
) -> None:
    remaining, held = grouped_split(everything, share, seed)
    require_grouped(remaining, held)
    assert Counter(remaining) + Counter(held) == Counter(everything)
    assert {s.label for s in held} == {"monocyte", "neutrophil"}


@given(GROUPED, st.integers(0, 5))
def test_a_split_hangs_on_the_seed_alone(everything: list[Sample], seed: int) -> None:
    backwards = list(reversed(everything))
    once, again = grouped_split(everything, 0.3, seed), grouped_split(backwards, 0.3, seed)
    assert {s.file for s in once[1]} == {s.file for s in again[1]}


def test_a_photograph_with_two_kinds_of_cell_stays_whole() -> None:
    mixed = samples({"a": 2, "b": 2, "d": 2}) + samples({"a": 3, "c": 2}, "neutrophil")
    for seed in range(8):
        remaining, held = grouped_split(mixed, 0.5, seed)
        assert not {s.group for s in remaining} & {s.group for s in held}


def test_one_photograph_alone_can_not_be_split() -> None:
    with pytest.raises(DataError, match="one photograph"):
        grouped_split(samples({"a": 9}), 0.5, 0)


def test_unknown_photographs_can_not_be_split() -> None:
    with pytest.raises(LeakingSplit, match=r"not known which photograph .*source_map\.csv"):
        grouped_split([sample(1, group=None)], 0.5, 0)


def test_a_random_split_cuts_photographs_and_is_found_out() -> None:
    remaining, held = random_split(samples({"a": 20, "b": 20}), 0.3, 0)
    assert len(held) == 12
    with pytest.raises(LeakingSplit, match="2 photographs are on both sides"):
        require_grouped(remaining, held)


def test_the_same_name_in_two_sets_is_two_photographs() -> None:
    other = Sample(Path("x"), "x", "monocyte", "other", "train", "a")
    require_grouped([sample(1)], [other])


def test_a_few_of_many_are_spread_over_all_photographs() -> None:
    chosen = spread(samples({"a": 100, "b": 5, "c": 2}), 9, seed=0)
    assert Counter(s.group for s in chosen) == {"a": 4, "b": 3, "c": 2}


@given(GROUPED, st.integers(1, 40))
def test_spreading_takes_no_more_than_asked_and_nothing_twice(
    everything: list[Sample], per_class: int
) -> None:
    chosen = spread(everything, per_class, seed=0)
    assert len(set(chosen)) == len(chosen)
    available = counts(everything)
    assert counts(chosen) == {name: min(per_class, n) for name, n in available.items()}


def test_the_data_hash_sees_content_label_and_photograph(tmp_path: Path) -> None:
    path = tmp_path / "1.png"
    path.write_bytes(b"one")
    base = Sample(path, "1.png", "monocyte", "set", "train", "a")
    hashes = {data_hash([base])}
    hashes.add(data_hash([Sample(path, "1.png", "neutrophil", "set", "train", "a")]))
    hashes.add(data_hash([Sample(path, "1.png", "monocyte", "set", "train", "b")]))
    path.write_bytes(b"two")
    hashes.add(data_hash([base]))
    assert len(hashes) == 4


def test_the_real_set_is_read_with_its_348_photographs(bccd4: list[Sample]) -> None:
    shipped = [s for s in bccd4 if s.split in ("train", "test")]
    test = [s for s in shipped if s.split == "test"]
    assert len({s.group for s in shipped}) == 348
    assert len({s.group for s in test}) == 71
    assert len(test) == 2487
    require_grouped([s for s in shipped if s.split == "train"], test)
