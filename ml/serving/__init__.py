"""Images → verdicts: all that a worker needs, and nothing that trains.

`load_classifier` chooses the backend, `classify_readings` asks it. TensorFlow is imported only
where a GPU can be; importing this room loads neither backend.
"""

from ml.serving.classifier import Classifier
from ml.serving.inference import load_classifier
from ml.serving.looking import classify_readings
from ml.serving.predict import ImageFile, Row, classify_files, find_images, write_csv

__all__ = [
    "Classifier",
    "ImageFile",
    "Row",
    "classify_files",
    "classify_readings",
    "find_images",
    "load_classifier",
    "write_csv",
]
