"""What works through the queue: classifies shards, makes reports, sweeps up after crashes.

`app`, `tasks`, `request` and `main` know Celery; `pipeline`, `report` and all they use do not, so
that they can be run and tested without a broker. No page is made here, and no state is written
but through `core.jobs` and `core.made.reports`.
"""
