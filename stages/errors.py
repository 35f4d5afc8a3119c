"""The errors that reach a user as a single line on stderr and exit status 1."""


class Refusal(Exception):
    """A message that says what is wrong, names the file or key, and gives the command that helps.

    Any other exception is a bug of the program and keeps its traceback.
    """


class OutOfSpace(Refusal):
    """The disk is full; no unfinished file lies under its final name."""
