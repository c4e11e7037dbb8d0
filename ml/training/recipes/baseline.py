"""The published recipe: a linear head on a frozen ImageNet network.

MobileNetV2 as ImageNet left it, Flatten, Dropout, a softmax over four cells; Adam, categorical
cross-entropy. The base never changes, so its features are computed once. Its published figures
are those of a random split, which leaks; `--protocol random` repeats that protocol.

    hematovision train --recipe baseline --protocol random --data bccd4 --out runs/baseline

On two busy CPU cores: about 10 minutes, most of it for the features. Accuracy on its random split,
2,987 images, 0.919; of the same weights on bccd4's shipped TEST split, photographs it has never
seen, 0.562 (95 % interval 0.462 to 0.663 over 71 photographs).
"""

from ml.bundle import Architecture
from ml.decoding import InputShape
from ml.training.recipes.recipe import FOUR_CLASSES, Recipe

RECIPE = Recipe(
    name="baseline",
    version="2.0.0",
    classes=FOUR_CLASSES,
    shape=InputShape(224, 224),
    architecture=Architecture(pooled=False),
    dropout=0.5,
    head_passes=20,
    head_rate=3e-4,
    batch=64,
    intended_use="A point of comparison: the published transfer-learning recipe for this task.",
)
