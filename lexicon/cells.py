"""The cell types: what networks, tables, pages, charts and reports call them.

They stand in the order of every list that people see.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CellType:
    """One kind of blood cell.

    ``name`` is what bundles, tables and files say, ``label`` the words on a page, ``code`` the two
    letters that laboratories use, ``colour`` a hex value of the Okabe-Ito set, told apart by
    colour-blind people; ``aliases`` are the folder and column names by which public image sets know
    the same cell.
    """

    name: str
    label: str
    code: str
    colour: str
    aliases: tuple[str, ...] = ()


CELL_TYPES: tuple[CellType, ...] = (
    CellType("neutrophil", "Neutrophil", "NE", "#0072B2", ("neutrophils",)),
    CellType("lymphocyte", "Lymphocyte", "LY", "#009E73", ("lymphocytes",)),
    CellType("monocyte", "Monocyte", "MO", "#E69F00", ("monocytes",)),
    CellType("eosinophil", "Eosinophil", "EO", "#D55E00", ("eosinophils",)),
    CellType("basophil", "Basophil", "BA", "#CC79A7", ("basophils",)),
    CellType(
        "immature_granulocyte",
        "Immature granulocyte",
        "IG",
        "#56B4E9",
        ("immature granulocyte", "immature-granulocyte"),
    ),
    CellType("erythroblast", "Erythroblast", "ER", "#F0E442", ("erythroblasts", "nrbc")),
    CellType("platelet", "Platelet", "PL", "#666666", ("platelets",)),
)

_BY_NAME = {cell.name: cell for cell in CELL_TYPES}
_BY_LABEL = {
    label: cell for cell in CELL_TYPES for label in (cell.name, cell.code.lower(), *cell.aliases)
}


def cell_type(name: str) -> CellType:
    """Return how ``name`` is shown; a class this table lacks is shown in grey by its own name."""
    known = _BY_NAME.get(name)
    return known or CellType(name, name.replace("_", " ").capitalize(), name[:2].upper(), "#999999")


def known_cell_type(label: str) -> CellType | None:
    """Return the cell type that goes by this name, code or alias, in any case, if there is one."""
    return _BY_LABEL.get(label.strip().lower())


def display_order(name: str) -> int:
    """Return the place of a class in every list of classes; unknown ones come last."""
    known = _BY_NAME.get(name)
    return CELL_TYPES.index(known) if known else len(CELL_TYPES)
