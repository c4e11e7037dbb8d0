"""What can go wrong in this room. Every message is a sentence for the person, safe to show.

MlError
├── UnreadableImage         a file that can't be used as an image            decoding.refusals
├── UnknownRecipe           a name that is no recipe's                       training.recipes
├── BundleError                                                              bundle.folder
│   ├── BundleMissing       there is no bundle, or a file of it is gone
│   ├── BundleFormat        this version of the program can't read it
│   ├── BundleTampered      a file is not the one that was written
│   ├── BundleExists        something stands where one was to be written
│   ├── BundleUnfit         it does not work, or says what can't be          serving.trial
│   ├── SignatureInvalid    its signature is damaged, false, or nobody's here bundle.signing
│   └── TrustMismatch       what it says about trust is not for its network  trust.unfamiliar
├── TooFewCells             too few labelled cells to calibrate by           trust.calibration
├── NoGpu                   a GPU was insisted on and there is none          serving.inference
├── DataError               a data folder that can't be used as asked        data.dataset
│   └── LeakingSplit        a photograph on both sides of a split, or an unknown one
├── WeightsUnavailable      no ImageNet weights                              network.model
├── BadChange               no such field of a recipe, or no value for it    training.variants
├── CardError               an evaluation that can't stand on a model card   evaluation.card
├── CheckpointUnreadable    a checkpoint that is missing or damaged          training.course
├── NoRuns                  a log of runs that is missing or can't be read   training.runs
└── TrainingFailed          training could not start, or came to nothing     training.fitting
    └── Interrupted         a person stopped a run; it can be resumed
"""


class MlError(Exception):
    """Base of all; ``str(error)`` says what to do."""
