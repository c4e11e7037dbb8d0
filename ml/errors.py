"""The errors of this room. Every message is a sentence for people, safe to show.

MlError
├── UnreadableImage         a file that can't be used as an image; carries a code     (ml.refusals)
├── UnknownRecipe           there is no recipe of this name                            (ml.recipes)
├── BundleError                                                                         (ml.bundle)
│   ├── BundleMissing       there is no bundle, or one of its files is gone
│   ├── BundleFormat        this version of the program can't read it
│   ├── BundleTampered      a file differs from the one that was written
│   ├── BundleExists        the place for a new bundle is already taken
│   ├── BundleUnfit         it does not work, or states the impossible                   (ml.trial)
│   ├── SignatureInvalid    its signature is damaged, false or untrusted               (ml.signing)
│   └── TrustMismatch       what it says about trust is not for its network         (ml.unfamiliar)
├── TooFewCells             too few labelled cells to calibrate by                 (ml.calibration)
├── NoGpu                   a GPU was demanded, but there is none                    (ml.inference)
├── DataError               a data folder that can't be used as asked                  (ml.dataset)
│   └── LeakingSplit        a photograph is on both sides of a split, or unknown
├── WeightsUnavailable      ImageNet weights can't be found or downloaded                (ml.model)
├── BadChange               a recipe has no such field, or it takes no such value     (ml.variants)
├── CardError               an evaluation that does not fit the model card                (ml.card)
├── CheckpointUnreadable    a checkpoint that is missing or damaged                (ml.checkpoints)
├── NoRuns                  a log of runs that is missing or can't be read                (ml.runs)
└── TrainingFailed          training could not start, or failed                        (ml.fitting)
    └── Interrupted         a person stopped a run; it can be resumed
"""


class MlError(Exception):
    """The base of all errors here; ``str(error)`` says what to do."""
