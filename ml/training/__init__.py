"""A recipe, labelled photographs and ImageNet weights → a bundle.

`train` begins a run; `protocols` says which photographs are held out, `batches` what a pass draws,
`fitting` is the loop, `teacher` a network being taught, `assembly` and `quantization` make the
bundle. It judges nothing but its own validation images: what a bundle is worth is said by
`evaluation`, which it does not know. This face imports nothing, since most of it needs TensorFlow.
"""
