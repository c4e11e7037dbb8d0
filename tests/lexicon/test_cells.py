"""Cell types, how they are shown, and the names other sets give them."""

from __future__ import annotations

import pytest

from lexicon.cells import CELL_TYPES, cell_type, display_order, known_cell_type
from ml.training.recipes.recipe import EIGHT_CLASSES, FOUR_CLASSES


def test_the_order_of_the_outputs_is_alphabetical_and_fixed() -> None:
    assert FOUR_CLASSES == ("eosinophil", "lymphocyte", "monocyte", "neutrophil")
    assert tuple(sorted(EIGHT_CLASSES)) == EIGHT_CLASSES
    assert {*EIGHT_CLASSES} <= {cell.name for cell in CELL_TYPES}


@pytest.mark.parametrize("label", ["EOSINOPHIL", "eosinophil", "eo", " Eosinophils "])
def test_a_cell_goes_by_name_code_and_plural_in_any_case(label: str) -> None:
    cell = known_cell_type(label)
    assert cell and cell.name == "eosinophil"


def test_the_folder_ig_holds_immature_granulocytes() -> None:
    cell = known_cell_type("ig")
    assert cell and cell.name == "immature_granulocyte"


def test_an_unknown_label_is_nothing_that_is_known() -> None:
    assert known_cell_type("yeast") is None


def test_each_cell_type_has_a_code_and_a_colour_of_its_own() -> None:
    assert len({cell.code for cell in CELL_TYPES}) == len(CELL_TYPES)
    assert len({cell.colour for cell in CELL_TYPES}) == len(CELL_TYPES)


def test_a_class_that_no_table_knows_is_shown_all_the_same() -> None:
    strange = cell_type("yeast_cell")
    assert (strange.label, strange.code) == ("Yeast cell", "YE")
    assert display_order("yeast_cell") > max(display_order(cell.name) for cell in CELL_TYPES)
