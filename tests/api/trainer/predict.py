"""A model for tests of trainings: its output says which LoRAs it was given."""

import base64
import hashlib
import tempfile

from cog import BaseRunner, Input, Path


class Runner(BaseRunner):
    def run(
        self,
        prompt: str = Input(default="", description="What stands first in the file."),
        lora_weights: list[str] | None = Input(default=None, description="Data URLs or names."),
    ) -> Path:
        """Write the prompt, and for each LoRA the digest of its file, or its name."""
        lines = [prompt]
        for one in lora_weights or []:
            head, _, data = one.partition(",")
            lines.append(hashlib.sha256(base64.b64decode(data)).hexdigest() if head.startswith("data:") else one)
        path = Path(tempfile.mkdtemp()) / "output.txt"
        path.write_text("\n".join(lines))
        return Path(path)
