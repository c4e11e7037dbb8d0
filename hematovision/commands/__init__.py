"""The commands, a module for each kind of work. Bodies are short; heavy imports are deferred."""
