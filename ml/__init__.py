"""The network: training it, judging it, and classifying cells with it.

This room knows nothing of Flask, Celery or SQL. A worker without TensorFlow imports only
`ml.inference`, `ml.onnxruntime_backend`, `ml.reading`, `ml.trust` and what these need: numpy,
Pillow, OpenCV and ONNX Runtime; whatever trains or judges a network lives in modules that those
never import.
"""
