"""A model that gives its output part by part, as language models do."""

import time

from cog import BaseRunner, ConcatenateIterator, Input


class Runner(BaseRunner):
    def run(
        self,
        words: str = Input(default="one two three", description="What it says, word by word."),
        seconds: float = Input(default=0, ge=0, le=60, description="How long it takes for each."),
        fail: bool = Input(default=False, description="Whether it fails at the end."),
    ) -> ConcatenateIterator[str]:
        """Say `words` again."""
        for word in words.split(" "):
            print(f"now {word!r}", flush=True)
            yield f"{word} "
            time.sleep(seconds)
        if fail:
            raise ValueError("it was told to fail")
