"""Write the model card, `README.md` of the weights folder, from the checkpoint and the last evaluation.

python -m recipes.emoji.card
"""

import json
from pathlib import Path

import torch

from recipes.emoji import data
from recipes.emoji.evaluate import RESULTS
from recipes.emoji.transformer import CHECKPOINT

HERE = Path(__file__).parent


def write_card(results: dict, state: dict) -> str:
    """The card's text, from what `evaluate` found and how far the training was."""
    values = {key: f"{value:.2f}" if key.startswith(("top", "synonyms_")) else value for key, value in results.items()}
    return (HERE / "card.md").read_text().format(**values, step=state["step"], hours=state["seconds"] / 3600)


def main() -> None:
    state = torch.load(data.WORK / CHECKPOINT)["state"]
    results = json.loads((data.WORK / RESULTS).read_text())
    Path("weights/emoji/README.md").write_text(write_card(results, state))


if __name__ == "__main__":
    main()
