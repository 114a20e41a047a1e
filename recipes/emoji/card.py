"""Write the model card, `README.md` of the weights folder, from the last export and the last evaluation.

python -m recipes.emoji.card
"""

import json
from pathlib import Path
from typing import Any

from recipes.emoji import data
from recipes.emoji.evaluate import RESULTS
from recipes.emoji.export import EXPORTED

HERE = Path(__file__).parent


def write_card(results: dict[str, Any], state: dict[str, Any]) -> str:
    """The card's text, from what `evaluate` found and how far the training was."""
    values = {key: f"{value:.2f}" if key.startswith(("top", "synonyms_")) else value for key, value in results.items()}
    return (HERE / "card.md").read_text().format(**values, step=state["step"], hours=state["seconds"] / 3600)


def main() -> None:
    state = json.loads((data.WORK / EXPORTED).read_text())
    results = json.loads((data.WORK / RESULTS).read_text())
    Path("weights/emoji/README.md").write_text(write_card(results, state))


if __name__ == "__main__":
    main()
