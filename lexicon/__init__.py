"""The words that all rooms share: each fact about results, images and jobs stands here once.

`cells` are the cell types, `outcomes` how far a verdict goes and why, `verdicts` the one shape of
an answer, `results` its table for spreadsheets, `formats` the images and archives that are read,
`folders` what of a folder is sent, `names` how names from outside are shown, `words` the notice and
how lengths of time and amounts read. Standard library only; nothing is decided or done here.
"""
