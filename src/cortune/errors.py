"""Errors that a user can act on."""


class CortuneError(Exception):
    """Base class of every error Cortune raises on purpose; shown without a traceback."""


class InputError(CortuneError):
    """Bad input: a file, a folder or a configuration key.

    Parameters
    ----------
    where : str or path-like
        The file or the configuration key.
    found : str
        What was there.
    expected : str
        What should have been there.
    cure : str
        What to do about it; a full sentence.
    """

    def __init__(self, where: object, found: str, expected: str, cure: str) -> None:
        self.where = str(where)
        self.found = found
        self.expected = expected
        self.cure = cure
        super().__init__(f"{where}: found {found}; expected {expected}. {cure}")


class LeakageError(CortuneError):
    """An image that a network was tuned on was about to score an encoding model."""


class ResourceError(CortuneError):
    """Memory, disk or a device did not suffice; the message names the figure needed."""
