"""What is made when somebody asks for it: reports, explanations, copies of images to look at.

`making` is the life that all of them have, under a lease as a shard has one; the others say what
can be asked for and what comes of it. How it is made is the worker's.
"""
