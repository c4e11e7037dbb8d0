"""The network: training it, judging it, and classifying cells with it.

This room knows nothing of Flask, Celery or SQL. A worker without TensorFlow imports only
`ml.bundle`, `ml.errors`, `ml.images`, `ml.inference` and `ml.onnxruntime_backend`, which need
numpy, Pillow and ONNX Runtime; whatever trains or judges a network lives in modules that those
never import.
"""
