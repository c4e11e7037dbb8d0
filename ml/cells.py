"""The cell types a network tells apart, and their order as network outputs."""

from dataclasses import dataclass

from ml.errors import MlError


@dataclass(frozen=True)
class CellType:
    """One kind of blood cell.

    `name` is what bundles, tables and files say; `code` is the two-letter code laboratories use;
    `aliases` are the folder and column names by which public image sets know the same cell.
    """

    name: str
    code: str
    aliases: tuple[str, ...] = ()


CELL_TYPES = (
    CellType("basophil", "BA", ("basophils",)),
    CellType("eosinophil", "EO", ("eosinophils",)),
    CellType("erythroblast", "ER", ("erythroblasts", "nrbc")),
    CellType("immature_granulocyte", "IG", ("immature granulocyte", "immature-granulocyte")),
    CellType("lymphocyte", "LY", ("lymphocytes",)),
    CellType("monocyte", "MO", ("monocytes",)),
    CellType("neutrophil", "NE", ("neutrophils",)),
    CellType("platelet", "PL", ("platelets",)),
)

EIGHT_CLASSES = tuple(cell.name for cell in CELL_TYPES)
FOUR_CLASSES = ("eosinophil", "lymphocyte", "monocyte", "neutrophil")


class UnknownCell(MlError):
    """A label that names no cell type."""


def cell_type(label: str) -> CellType:
    """The cell type that `label` names, by name, code or alias, in any case.

    Raises:
        UnknownCell: if no cell type goes by that label.
    """
    wanted = label.strip().lower()
    for cell in CELL_TYPES:
        if wanted in (cell.name, cell.code.lower(), *cell.aliases):
            return cell
    known = ", ".join(EIGHT_CLASSES)
    raise UnknownCell(f"{label!r} is not a cell type. The cell types are {known}.")
