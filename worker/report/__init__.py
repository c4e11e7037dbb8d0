"""A job's results → the laboratory report, a PDF.

`making` is its life under a lease, `findings` reads what it says, `story` puts that in order,
`flowables`, `chart` and `page` draw, `typeface` sees to it that any name can be printed. Nothing
here grows with the number of images but the PDF itself.
"""

from worker.report.making import make_report

__all__ = ["make_report"]
