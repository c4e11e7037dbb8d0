"""The answers and requests of the HTTP API under /api/v1, as the server writes and programs read.

Each is written here once: the server builds these models and sends them, pages show them, and the
command line reads them. A name that is a keyword of Python has another one here; its alias is the
key in JSON.

No rule, no database and no page belongs here: a model holds values and says what they mean. The
room needs pydantic and the lexicon, so that a program without Flask can read every answer.
"""
