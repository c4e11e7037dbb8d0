"""The commands, one module per kind of work. Bodies are short; heavy imports are deferred."""
