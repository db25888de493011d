"""Where teams look at runs: one module a tracker, each with a class that has one method, ``log``."""
