"""The errors that a caller can cause. Each message says what was wrong, what is allowed, and what to do."""


class EaselError(Exception):
    """Base of all errors whose message is meant for the caller; shown as it is, without a traceback."""


class InputError(EaselError):
    """The request asks for something that this model does not accept."""


class WeightsError(EaselError):
    """The files of a model are missing, incomplete or not the ones that its lock file names."""
