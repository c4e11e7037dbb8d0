"""The worker: it classifies shards, makes reports, and sweeps up after crashes.

`app`, `tasks`, `pool`, `parent` and `main` know Celery. `pipeline`, `report` and everything they
use do not, so that they can be run and tested without a broker. No page is made here, and states
are written only through `core`.
"""
