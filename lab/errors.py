"""The one exception that the lab shows to people."""


class LabError(Exception):
    """Something a person can mend; the text says what it is and what to do."""
