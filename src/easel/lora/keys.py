"""The names of the tensors in a LoRA file: which layer of the transformer each belongs to, in every known spelling.

diffusers' own converter is not used: it drops keys without a word, knows kohya's names only for some layers, and folds
alpha into the weights, which rounds differently from peft. Here a name is looked up among the layers that there are.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from easel.errors import AdapterError

# What stands before the name of a layer, in any order: wrappers of compiled and of parallel models, of peft, and what
# diffusers, ComfyUI, ai-toolkit, kohya, musubi, LyCORIS and DiffSynth call the model.
PREFIX = re.compile(
    r"^(?:(?:_orig_mod|module|base_model|model|pipe|dit|transformer|diffusion_model)[._]+"
    r"|(?:lora_unet|lora_transformer|lycoris|lora)_+)+"
)
INNER = re.compile(r"(^|[._])(_orig_mod|module)(?=[._])")  # a wrapper around a part of the model
PART = re.compile(
    r"\.(?:(?P<down>(?:lora\.)?lora_A(?:\.[\w-]+)?\.weight|lora[._]down\.weight)"
    r"|(?P<up>(?:lora\.)?lora_B(?:\.[\w-]+)?\.weight|lora[._]up\.weight)"
    r"|(?P<alpha>alpha))$"
)
EXTRACT = "Merge it into its model and extract a plain LoRA of rank 256 or less from that, which trainers' tools do"
PLAIN = "Train or save it again as a plain LoRA"
# Each: what it is, the keys that tell, what to do. The first that is found is said.
OTHER_METHODS = (
    ("LoKr, not a plain LoRA", re.compile(r"[._]lokr_"), EXTRACT),
    ("LoHa, not a plain LoRA", re.compile(r"[._]hada_"), EXTRACT),
    ("DoRA, not a plain LoRA", re.compile(r"[._](dora_\w+|\w*magnitude\w*)(\.|$)"), EXTRACT),
    ("OFT, not a plain LoRA", re.compile(r"[._]b?oft_"), EXTRACT),
    ("GLoRA, not a plain LoRA", re.compile(r"\.[ab][12]\.weight$"), EXTRACT),
    ("(IA)3, not a plain LoRA", re.compile(r"\.(ia3_\w+|on_input)(\.|$)"), EXTRACT),
    ("VeRA, not a plain LoRA", re.compile(r"[._]vera_"), EXTRACT),
    ("a LoRA with convolution cores (Tucker)", re.compile(r"[._]lora_mid\b"), PLAIN),
    (
        "a LoRA that also changes biases, and biases are never changed here",
        re.compile(r"(\.diff_b|lora_(B|up)(\.[\w-]+)?\.bias|lora_bias)$"),
        "Train or save it again without biases",
    ),
    ("made of full-rank differences, not a LoRA", re.compile(r"\.(diff|diff_\w+|set_weight|w_norm|b_norm)$"), EXTRACT),
)
WHOLE = re.compile(r"\.(weight|bias)$")  # of a layer itself: a whole model, or a part of one that was trained in full
# Blocks that name their model. A LoRA of none of these and not of this model is still refused, only with less to say.
OTHER_MODELS = {
    "FLUX": re.compile(r"(double|single)_blocks|single_transformer_blocks"),
    "Stable Diffusion or SDXL": re.compile(r"(down|up|input|output|mid|middle)_blocks?[._]"),
    "Stable Diffusion 3": re.compile(r"joint_(transformer_)?blocks"),
    "Qwen-Image or another model with transformer_blocks": re.compile(r"transformer_blocks"),
    "a Wan video model": re.compile(r"blocks[._]\d+[._](self_attn|cross_attn)"),
}
SHOWN_KEYS = 5


@dataclass(frozen=True)
class Place:
    """One layer of the transformer, and which of `shares` equal parts of the file's up matrix is for it."""

    layer: str
    share: int = 0
    shares: int = 1


def sort_keys(keys: Iterable[str], layers: Iterable[str]) -> dict[str, dict[str, str]]:
    """{name in the file: {"down" | "up" | "alpha": key}} of a LoRA for a transformer with these linear layers.

    Raises AdapterError when one key is of another method or fits no layer, when half of a pair is missing, or when two
    names mean the same layer.
    """
    keys = sorted(keys)
    for method, pattern, advice in OTHER_METHODS:
        if found := [key for key in keys if pattern.search(key)]:
            raise AdapterError(f"it is {method} ({list_keys(found)}). {advice}.")
    places = places_of(layers)
    sorted_keys: dict[str, dict[str, str]] = {}
    unmatched = []
    for key in keys:
        part = PART.search(key)
        name = part and find_name(key[: part.start()], places)
        if not part or not part.lastgroup or name is None:
            unmatched.append(key)
        elif part.lastgroup in sorted_keys.setdefault(name, {}):
            raise AdapterError(
                f"it has two tensors for one place: {list_keys([sorted_keys[name][part.lastgroup], key])}."
            )
        else:
            sorted_keys[name][part.lastgroup] = key
    if unmatched or not keys:
        raise AdapterError(unmatched_sentence(unmatched, len(keys), places))
    check_pairs(sorted_keys, places)
    return sorted_keys


def find_name(written: str, places: Mapping[str, tuple[Place, ...]]) -> str | None:
    """Return the spelling in `places` that a name in a file means: as it is, without its wrappers, with folded
    separators.
    """
    bare = stripped(written)
    return next((name for name in (written, bare, fold(bare)) if name in places), None)


def stripped(written: str) -> str:
    """Return a name without what wraps it."""
    return PREFIX.sub("", INNER.sub(r"\1", written).lstrip("._"))


def fold(name: str) -> str:
    """Return a name with one underscore for each run of dots and underscores: trainers mix them up, and double them."""
    return re.sub(r"[._]+", "_", name).strip("_")


def check_pairs(sorted_keys: Mapping[str, Mapping[str, str]], places: Mapping[str, tuple[Place, ...]]) -> None:
    halves = [key for parts in sorted_keys.values() if not {"down", "up"} <= set(parts) for key in parts.values()]
    if halves:
        raise AdapterError(f"half of a pair is missing beside {list_keys(halves)}: the file is incomplete.")
    names_of: dict[str, list[str]] = {}
    for name in sorted_keys:
        for place in places[name]:
            names_of.setdefault(place.layer, []).append(name)
    for layer, names in names_of.items():
        if len(names) > 1:
            raise AdapterError(f"{' and '.join(names)} both mean the layer {layer}: it cannot be told which to take.")


def unmatched_sentence(unmatched: list[str], count: int, places: Mapping[str, tuple[Place, ...]]) -> str:
    if not count:
        return "it holds no tensors."
    what = f"{len(unmatched)} of its {count} keys fit no layer of this model ({list_keys(unmatched)})"
    whole = [key for key in unmatched if WHOLE.search(key) and not PART.search(key)]
    if whole and all(find_name(WHOLE.sub("", key), places) for key in whole):
        return f"it holds whole weights of layers ({list_keys(whole)}): a fine-tuned model, not a LoRA. {EXTRACT}."
    if any("text_encoder" in key or key.startswith("lora_te") for key in unmatched):
        return f"{what}. Parts for a text encoder are not used by this model: save the LoRA again without them."
    kinds = {kind_of_name(name) for name in places}
    names = [key[: part.start()] for key in unmatched if (part := PART.search(key))]
    if len(names) == len(unmatched) and all(
        re.search(r"\d", name) and kind_of_name(stripped(name)) in kinds for name in names
    ):
        return f"{what}: it is for a larger model of the same family, with more layers. Use one made for this model."
    models = [name for name, pattern in OTHER_MODELS.items() if any(pattern.search(key) for key in unmatched)]
    guess = f" The names look like {models[0]}." if models else ""
    if len(unmatched) == count:
        return f"it is for another base model: none of its {count} keys fits ({list_keys(unmatched)}).{guess}"
    return f"{what}, and a LoRA that is applied in part makes wrong images without a word.{guess}"


def kind_of_name(name: str) -> str:
    """Return a layer's name without the numbers of its blocks."""
    return re.sub(r"\d+", "0", fold(name))


def places_of(layers: Iterable[str]) -> dict[str, tuple[Place, ...]]:
    """Return every spelling of a layer's name: diffusers' own, the original checkpoint's, and kohya's with underscores.

    The original names are those that diffusers' `convert_z_image_transformer_checkpoint_to_diffusers` renames.
    """
    places: dict[str, tuple[Place, ...]] = {}
    for layer in layers:
        places[layer] = (Place(layer),)
        if layer.endswith("attention.to_out.0"):
            stem = layer.removesuffix("to_out.0")
            places[f"{stem}out"] = places[f"{stem}to_out"] = (Place(layer),)
        if layer.endswith("attention.to_q"):
            stem = layer.removesuffix("to_q")
            places[f"{stem}qkv"] = tuple(Place(f"{stem}to_{one}", share, 3) for share, one in enumerate("qkv"))
        if original := re.fullmatch(r"all_(x_embedder|final_layer)\.[\d-]+(.*)", layer):
            places.setdefault(original[1] + original[2], (Place(layer),))
    folded: dict[str, tuple[Place, ...]] = {}
    twice = set()
    for name, place in places.items():
        if folded.setdefault(fold(name), place) != place:
            twice.add(fold(name))  # Two layers then have one name: only the exact ones count.
    return {**{name: place for name, place in folded.items() if name not in twice}, **places}


def list_keys(keys: list[str]) -> str:
    more = f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else ""
    # Whoever wrote the file chose them, and they are list_keys and logged: no line breaks, and no end to the length.
    texts = ("".join(one if one.isprintable() else "?" for one in key[:120]) for key in keys[:SHOWN_KEYS])
    return ", ".join(texts) + more
