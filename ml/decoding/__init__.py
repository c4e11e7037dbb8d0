"""Bytes of a picture file → upright pixels in sRGB: the one decoder, for training and serving.

It knows formats and colours, and nothing of cells. Whatever it can't read right it refuses with a
code and a sentence; it never guesses.
"""

from ml.decoding.images import DECODER_VERSION, InputShape, Pixels, UnreadableImage, decode

__all__ = ["DECODER_VERSION", "InputShape", "Pixels", "UnreadableImage", "decode"]
