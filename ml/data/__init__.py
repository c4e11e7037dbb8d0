"""Labelled images: folders of them, which photograph each is of, and splits that keep those apart.

It reads and counts. What is learned from images, or said of a network by them, is not known here.
"""

from ml.data.dataset import DataError, LeakingSplit, Sample, read_folder
from ml.data.loading import Labelled, Report

__all__ = ["DataError", "Labelled", "LeakingSplit", "Report", "Sample", "read_folder"]
