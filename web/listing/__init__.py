"""Long lists, page by page: jobs, and a job's images in their bins.

Cursors travel in URLs, so that the next page costs no more than the first.
"""
