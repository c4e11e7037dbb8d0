"""``python -m hematovision`` is the command line, for processes that start one another."""

from hematovision.cli import main

if __name__ == "__main__":
    main()
