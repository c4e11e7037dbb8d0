"""The classes that recipes teach, in the order of a network's outputs."""

FOUR_CLASSES = ("eosinophil", "lymphocyte", "monocyte", "neutrophil")
EIGHT_CLASSES = (
    "basophil",
    "eosinophil",
    "erythroblast",
    "immature_granulocyte",
    "lymphocyte",
    "monocyte",
    "neutrophil",
    "platelet",
)
