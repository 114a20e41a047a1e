"""The digest of a model's folder in one go; Easel verifies files while it reads them, and by `easel weights verify`."""

from pathlib import Path

from easel.weights.manifest import Manifest, digest_problem, file_problem, raise_problems, unlisted


def verify_files(manifest: Manifest, folder: Path) -> None:
    """Presence first, then size, then digest of every file, and none beside them; all problems in one WeightsError."""
    problems = [file_problem(file, folder) or digest_problem(file, folder) for file in manifest.files]
    raise_problems([*problems, *unlisted(manifest, folder)], manifest, folder)
