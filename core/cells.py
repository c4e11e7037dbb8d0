"""What people see of results: the cell types for pages, charts, PDF and exports, and the notice."""

from __future__ import annotations

from dataclasses import dataclass

# It stands on every result: page, report, export, terminal.
NOTICE = "Decision support. Not for diagnostic use without review by a qualified person."


@dataclass(frozen=True, slots=True)
class CellType:
    """How one cell type is shown.

    ``name`` is the network's class name, ``label`` the words on a page, ``code`` the short form
    beside every colour, ``colour`` a hex value of the Okabe-Ito set, told apart by colour-blind
    people.
    """

    name: str
    label: str
    code: str
    colour: str


CELL_TYPES: tuple[CellType, ...] = (
    CellType("neutrophil", "Neutrophil", "NE", "#0072B2"),
    CellType("lymphocyte", "Lymphocyte", "LY", "#009E73"),
    CellType("monocyte", "Monocyte", "MO", "#E69F00"),
    CellType("eosinophil", "Eosinophil", "EO", "#D55E00"),
    CellType("basophil", "Basophil", "BA", "#CC79A7"),
    CellType("immature_granulocyte", "Immature granulocyte", "IG", "#56B4E9"),
    CellType("erythroblast", "Erythroblast", "ER", "#F0E442"),
    CellType("platelet", "Platelet", "PL", "#666666"),
)

_BY_NAME = {cell.name: cell for cell in CELL_TYPES}


def cell_type(name: str) -> CellType:
    """Return how ``name`` is shown; a class this table lacks is shown in grey by its own name."""
    known = _BY_NAME.get(name)
    return known or CellType(name, name.replace("_", " ").capitalize(), name[:2].upper(), "#999999")


def display_order(name: str) -> int:
    """Return the place of a class in every list of classes; unknown ones come last."""
    known = _BY_NAME.get(name)
    return CELL_TYPES.index(known) if known else len(CELL_TYPES)
