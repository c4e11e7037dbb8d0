"""What can go wrong in this room. Every message is a sentence for the person, safe to show.

MlError
├── UnreadableImage         a file that can't be used as an image; carries a code  (ml.refusals)
├── UnknownRecipe           a name that is no recipe's                             (ml.recipes)
├── BundleError                                                                    (ml.bundle)
│   ├── BundleMissing       there is no bundle, or a file of it is gone
│   ├── BundleFormat        this version of the program can't read it
│   ├── BundleTampered      a file is not the one that was written
│   ├── BundleExists        something stands where one was to be written
│   ├── BundleUnfit         it does not work, or says what can't be                 (ml.trial)
│   ├── SignatureInvalid    its signature is damaged, false, or nobody's here     (ml.signing)
│   └── TrustMismatch       what it says about trust is not for its network    (ml.unfamiliar)
├── TooFewCells             too few labelled cells to calibrate by            (ml.calibration)
├── NoGpu                   a GPU was insisted on and there is none             (ml.inference)
├── DataError               a data folder that can't be used as asked             (ml.dataset)
│   └── LeakingSplit        a photograph on both sides of a split, or an unknown one
├── WeightsUnavailable      no ImageNet weights                                     (ml.model)
├── BadChange               no such field of a recipe, or no value for it        (ml.variants)
├── CardError               an evaluation that can't stand on a model card            (ml.card)
├── CheckpointUnreadable    a checkpoint that is missing or damaged           (ml.checkpoints)
├── NoRuns                  a log of runs that is missing or can't be read           (ml.runs)
└── TrainingFailed          training could not start, or came to nothing          (ml.fitting)
    └── Interrupted         a person stopped a run; it can be resumed
"""


class MlError(Exception):
    """Base of all; ``str(error)`` says what to do."""
