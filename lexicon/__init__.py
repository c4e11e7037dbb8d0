"""The words that all rooms share: each fact about results, images and jobs is written here once.

`cells` lists the cell types, `outcomes` the outcomes and their reasons, `verdicts` defines what a
model says about an image, `results` the table of results, `formats` the image and archive formats,
`folders` which files of a folder are sent, `names` how names from outside are shown, `words` the
notice and how durations and amounts are written. It uses the standard library only, and nothing
is decided or done here.
"""
