"""The one kind of error that reaches a user as a single line."""


class Refusal(Exception):
    """Says what is wrong, names the file or key, and gives the command that helps.

    Whatever else is raised is a bug of ours and keeps its traceback.
    """


class OutOfSpace(Refusal):
    """The disk is full; nothing was published under a final name."""
