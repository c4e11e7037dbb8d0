"""The network: training it, judging it, and classifying cells with it.

This room knows nothing of Flask, Celery or SQL. A worker without TensorFlow imports only
`ml.cells`, `ml.images`, `ml.bundle`, `ml.inference` and `ml.predict`, which need numpy, Pillow
and ONNX Runtime; whatever trains or judges a network lives in modules that those never import.
"""
