"""The errors that a caller can cause. Each message says what was wrong, what is allowed, and what to do."""


class EaselError(Exception):
    """Base of all errors whose message is meant for the caller; shown as it is, without a traceback."""


class InputError(EaselError):
    """The request asks for something that this model does not accept."""


class WeightsError(EaselError):
    """The files of a model are missing, incomplete or not the ones that its lock file names."""


class FetchError(EaselError):
    """A file that the request names cannot be had from where it is said to be."""


class UnreachableError(FetchError):
    """Where the file is said to be does not answer, or is out of order for now: it may be there all the same."""


class AdapterError(EaselError):
    """A LoRA file cannot be honoured: another format or base model, damaged, or only partly understood."""


class ArchiveError(EaselError):
    """A zip or tar is damaged, hostile or of a kind that is not read."""


class SafetyError(EaselError):
    """No image of the request may leave."""


class ResourceError(EaselError):
    """This machine lacks what the request needs: memory, or room for its files."""
