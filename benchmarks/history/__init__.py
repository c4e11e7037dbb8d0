"""A laboratory's history of any size, invented: its people, jobs, images and verdicts.

It knows the tables and nothing of the pages or the workers that are measured over it.
"""

from benchmarks.history.population import ADMINISTRATOR, BUSIEST, CLINICIAN, fill
from benchmarks.history.verdicts import draw

__all__ = ["ADMINISTRATOR", "BUSIEST", "CLINICIAN", "draw", "fill"]
