"""The errors of this room. Every message is a sentence for people, safe to show.

MlError
├── UnreadableImage         a file that can't be used as an image              decoding.refusals
├── UnknownRecipe           there is no recipe of this name                    training.recipes
├── BundleError                                                                bundle.folder
│   ├── BundleMissing       there is no bundle, or one of its files is gone
│   ├── BundleFormat        this version of the program can't read it
│   ├── BundleTampered      a file differs from the one that was written
│   ├── BundleExists        the place for a new bundle is already taken
│   ├── BundleUnfit         it does not work, or states the impossible         serving.trial
│   ├── SignatureInvalid    its signature is damaged, false or untrusted       bundle.signing
│   └── TrustMismatch       what it says about trust is not for its network    trust.unfamiliar
├── TooFewCells             too few labelled cells to calibrate by             trust.calibration
├── NoGpu                   a GPU was demanded, but there is none              serving.inference
├── DataError               a data folder that can't be used as asked          data.dataset
│   └── LeakingSplit        a photograph is on both sides of a split, or unknown
├── WeightsUnavailable      ImageNet weights can't be found or downloaded      network.model
├── BadChange               a recipe has no such field, or it takes no such value training.recipes
├── CardError               an evaluation that does not fit the model card     evaluation.card
├── CheckpointUnreadable    a checkpoint that is missing or damaged            training.teacher
├── NoRuns                  a log of runs that is missing or can't be read     training.runs
└── TrainingFailed          training could not start, or failed                training.fitting
    └── Interrupted         a person stopped a run; it can be resumed
"""


class MlError(Exception):
    """The base of all errors here; ``str(error)`` says what to do."""
