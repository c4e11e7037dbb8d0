"""What can go wrong in this room. Every message is a sentence for the person, safe to show.

MlError
├── UnreadableImage         a file that can't be used as an image; carries a code    (ml.images)
├── UnknownCell             a label that names no cell type                          (ml.cells)
├── UnknownRecipe           a name that is no recipe's                             (ml.recipes)
├── BundleError                                                                    (ml.bundle)
│   ├── BundleMissing       there is no bundle, or a file of it is gone
│   ├── BundleFormat        this version of the program can't read it
│   ├── BundleTampered      a file is not the one that was written
│   └── BundleExists        something stands where one was to be written
├── NoGpu                   a GPU was insisted on and there is none             (ml.inference)
├── DataError               a data folder that can't be used as asked             (ml.dataset)
│   └── LeakingSplit        a photograph on both sides of a split, or an unknown one
├── WeightsUnavailable      no ImageNet weights                                     (ml.model)
└── TrainingFailed          training could not start, or came to nothing          (ml.fitting)
"""


class MlError(Exception):
    """Base of all; ``str(error)`` says what to do."""
