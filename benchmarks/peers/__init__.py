"""What the platform is held against: the bare loop, a Keras task per image, a model server.

Nothing is imported here: each runs in a process, and BentoML in an environment, of its own.
"""
