"""Pixels → what a network sees of them: the slide's light, where the cell is, a square round it.

`read` is the one way in, for training and serving; a bundle's `Preprocessing` says how it was
taught to look. Nothing here knows of networks or classes.
"""

from ml.reading.locate import Location, Sight
from ml.reading.stain import Slide
from ml.reading.steps import Preprocessing, Reading, read, see

__all__ = ["Location", "Preprocessing", "Reading", "Sight", "Slide", "read", "see"]
