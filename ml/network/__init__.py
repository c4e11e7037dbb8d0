"""The network: MobileNetV2 with a small head, in Keras to train and folded to ship, and in ONNX.

Everything here needs TensorFlow or the ONNX tools, so this face imports nothing.
"""
