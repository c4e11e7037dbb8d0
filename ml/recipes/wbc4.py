"""The four common leucocytes, the whole network fine-tuned.

The head first, on the frozen base's features; then everything but the statistics of the batch
norms, on flipped, turned, zoomed and tinted images.

    hematovision train --recipe wbc4 --data bccd4 --data pbc8 --out runs/wbc4

On two busy CPU cores: 20 minutes, 2 to 3 a pass over 3,651 images. Accuracy on bccd4's
shipped TEST split 0.876 (95 % interval 0.757 to 0.968 over 71 photographs), on pbc8's test split
0.968 (0.950 to 0.983), on raabin5, another laboratory's, 0.587.
"""

from ml.bundle import Architecture
from ml.cells import FOUR_CLASSES
from ml.images import InputShape
from ml.recipes.recipe import Jitter, Recipe

RECIPE = Recipe(
    name="wbc4",
    version="1.0.0",
    classes=FOUR_CLASSES,
    shape=InputShape(128, 128),
    architecture=Architecture(pooled=True),
    dropout=0.3,
    head_passes=5,
    head_rate=1e-3,
    passes=8,
    rate=3e-4,
    smoothing=0.05,
    jitter=Jitter(),
    per_class=600,
    intended_use=(
        "Sorting crops of single stained leucocytes, for review by a qualified person: "
        "eosinophil, lymphocyte, monocyte or neutrophil. It knows no other cell."
    ),
)
