"""The network: training it, judging it, and classifying cells with it.

A room with floors, lowest first; each imports only what is below it:

    errors, metrics, answers, tables   what all floors share
    decoding      bytes of a file → pixels
    reading       pixels → what a network sees of them
    bundle        a network and what is known about it, in one verified folder
    network       the network itself, in Keras and in ONNX
    trust         when an answer is to be believed
    serving       images → verdicts; all that a worker needs
    data          labelled images
    training      labelled images → a bundle       evaluation   what a bundle is worth
    adaptation    a bundle and a laboratory's own cells → a new bundle

It knows nothing of Flask, Celery or SQL. A worker imports `serving` and what is below, which needs
NumPy, Pillow, OpenCV and ONNX Runtime; TensorFlow is imported where a GPU may be.
"""
