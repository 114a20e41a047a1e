"""Write the model's folder from the last checkpoint: averaged weights in bfloat16, and the lock over all files.

python -m recipes.emoji.export [--weights weights/emoji] [--to FOLDER]
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import ZImageTransformer2DModel

from easel.weights.manifest import lock_folder
from recipes.emoji import data
from recipes.emoji.transformer import CHECKPOINT, CONFIG

EXPORTED = "export.json"  # in data.WORK: how far the training of the exported weights was, for the model card


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=Path("weights/emoji"), help="the folder with the other parts")
    parser.add_argument("--to", type=Path, help="write a copy there instead, to look at while training goes on")
    options = parser.parse_args()
    folder = options.to or options.weights
    if options.to:
        shutil.copytree(options.weights, options.to, dirs_exist_ok=True)
    saved = torch.load(data.WORK / CHECKPOINT)
    model = ZImageTransformer2DModel(**CONFIG)
    model.load_state_dict(saved["average"])
    model.to(torch.bfloat16).save_pretrained(folder / "transformer")
    state = saved["state"]
    print(f"step {state['step']}, {state['seconds'] / 3600:.2f} hours, loss {sum(state['losses'][-200:]) / 200:.4f}")
    (data.WORK / EXPORTED).write_text(json.dumps({"step": state["step"], "seconds": state["seconds"]}))
    print(lock_folder(folder).digest)


if __name__ == "__main__":
    main()
