"""Makes the laboratory report, a PDF of a job's results.

`pdf` makes it under a lease, `contents` reads the results, `story` puts them in order,
`flowables`, `rows`, `chart` and `page` draw them, and `typeface` makes sure that any name can be
printed. Only the PDF itself grows with the number of images.
"""

from worker.report.pdf import make_report

__all__ = ["make_report"]
