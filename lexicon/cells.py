"""The cell types and what networks, tables, pages, charts and reports call them.

They are listed here in the order in which people see them everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CellType:
    """One kind of blood cell.

    ``name`` is used in bundles, tables and files, ``label`` on pages; ``code`` is the two letters
    that laboratories use. ``colour`` is a hex value of the Okabe-Ito set, which colour-blind people
    can tell apart. ``aliases`` are the folder and column names that public image sets use for the
    same cell.
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
    """Return how ``name`` is shown; an unknown class is shown in grey under its own name."""
    cell = _BY_NAME.get(name)
    return cell or CellType(name, name.replace("_", " ").capitalize(), name[:2].upper(), "#999999")


def known_cell_type(label: str) -> CellType | None:
    """Return the cell type with this name, code or alias, ignoring case, or None."""
    return _BY_LABEL.get(label.strip().lower())


def display_order(name: str) -> int:
    """Return the position of a class in every list of classes; unknown ones come last."""
    cell = _BY_NAME.get(name)
    return CELL_TYPES.index(cell) if cell else len(CELL_TYPES)
