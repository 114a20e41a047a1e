"""Images by Replicate's Python client, from Replicate or from an `easel api` of your own.

pip install replicate
export REPLICATE_API_TOKEN=...
export REPLICATE_BASE_URL=http://127.0.0.1:5001   # left out: Replicate. Version 2 of the client wants /v1 at the end.
python python.py [OWNER/MODEL] [FOLDER]
"""

import sys
from pathlib import Path

import replicate
from replicate.exceptions import ModelError, ReplicateError

model = sys.argv[1] if len(sys.argv) > 1 else "easel/emoji"
folder = Path(sys.argv[2] if len(sys.argv) > 2 else ".")


def draw(name: str, **inputs: object) -> list[Path]:
    """The images' paths, printed as well."""
    outputs = replicate.run(model, input=inputs)  # waits, and raises an error if the prediction fails
    paths = []
    for number, output in enumerate(outputs if isinstance(outputs, list) else [outputs]):
        paths.append(folder / f"{name}.{number}.webp")
        paths[-1].write_bytes(output.read())  # the file itself; output.url is its address
        print(paths[-1])
    return paths


try:
    folder.mkdir(parents=True, exist_ok=True)
    # With a seed the same images every time: image k has seed + k.
    first, *_ = draw("apple", prompt="a red apple", num_outputs=2, seed=7, output_format="webp")
    # An open file is an input as well: the client uploads it. 1 would ignore the image, 0 would keep it.
    with first.open("rb") as image:
        draw("face", prompt="a smiling face", image=image, prompt_strength=0.7, seed=7, output_format="webp")
except ReplicateError as error:
    sys.exit(f"The API refused it. {error}")  # the token, the model, an input: its sentence says which
except ModelError as error:
    sys.exit(f"The model failed: {error}")
