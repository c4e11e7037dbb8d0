"""Cell types and the names other sets give them."""

import pytest

from ml.cells import CELL_TYPES, EIGHT_CLASSES, FOUR_CLASSES, UnknownCell, cell_type


def test_the_order_of_the_outputs_is_alphabetical_and_fixed() -> None:
    assert FOUR_CLASSES == ("eosinophil", "lymphocyte", "monocyte", "neutrophil")
    assert tuple(sorted(EIGHT_CLASSES)) == EIGHT_CLASSES
    assert [cell.code for cell in CELL_TYPES] == ["BA", "EO", "ER", "IG", "LY", "MO", "NE", "PL"]


@pytest.mark.parametrize("label", ["EOSINOPHIL", "eosinophil", "eo", " Eosinophils "])
def test_a_cell_goes_by_name_code_and_plural_in_any_case(label: str) -> None:
    assert cell_type(label).name == "eosinophil"


def test_the_folder_ig_holds_immature_granulocytes() -> None:
    assert cell_type("ig").name == "immature_granulocyte"


def test_an_unknown_label_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownCell, match=r"'blast' is not a cell type.*basophil"):
        cell_type("blast")
