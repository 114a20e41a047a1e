"""What callers get wrong: inputs as they are sent, and what must come back.

Each row: what it is, the inputs beside a good prompt, and a part of the sentence. SCHEMA holds what openapi.json can
say (status 422), MODEL what only Easel can (status 200, "failed"), GOOD what looks wrong and is not.
"""

from tests.server.bad_inputs.files import (
    WIDTH,
    as_link,
    data_url,
    lora,
    mask,
    peft_archive,
    picture,
    png_header,
    tarred,
    zipped,
)
from tests.server.bad_inputs.texts import TEXTS

PNG = data_url(picture(), "image/png")
LORA = data_url(lora())

SCHEMA = [
    *((f"{name} is text", {name: "7"}, 'not of type "integer"') for name in ("num_outputs", "seed", "output_quality")),
    *((f"{name} is true", {name: True}, 'not of type "integer"') for name in ("num_inference_steps", "seed")),
    *((f"{name} is a list", {name: [1]}, "not of type") for name in ("prompt", "seed", "aspect_ratio", "image")),
    *((f"{name} is an object", {name: {"a": 1}}, "not of type") for name in ("prompt", "mask", "lora_weights")),
    *(
        (f"{name} is null", {name: None}, "null")
        for name in ("prompt", "seed", "image", "mask", "lora_weights", "lora_scales", "hf_token", "width")
    ),
    ("no prompt", {"prompt": ...}, "Field required"),
    ("an empty prompt", {"prompt": ""}, "shorter than 1 character"),
    ("a prompt of 10,000 characters", {"prompt": "x" * 10_000}, "longer than 5000 characters"),
    ("a negative prompt of 10,000 characters", {"negative_prompt": "x" * 10_000}, "longer than 5000 characters"),
    ("a prompt that is a number", {"prompt": 7}, 'not of type "string"'),
    ("width below its limit", {"width": 63, "height": 64}, "less than the minimum of 64"),
    ("width above its limit", {"width": 2049, "height": 64}, "greater than the maximum of 2048"),
    ("height below its limit", {"width": 64, "height": 0}, "less than the minimum of 64"),
    ("height above its limit", {"width": 64, "height": 10**30}, "greater than the maximum of 2048"),
    ("width with a fraction", {"width": 64.5, "height": 64}, 'not of type "integer"'),
    ("no outputs", {"num_outputs": 0}, "less than the minimum of 1"),
    ("five outputs", {"num_outputs": 5}, "greater than the maximum of 4"),
    ("no steps", {"num_inference_steps": 0}, "less than the minimum of 1"),
    ("51 steps", {"num_inference_steps": 51}, "greater than the maximum of 50"),
    ("negative guidance", {"guidance_scale": -0.001}, "less than the minimum of 0"),
    ("much guidance", {"guidance_scale": 20.001}, "greater than the maximum of 20"),
    ("guidance as text", {"guidance_scale": "2"}, 'not of type "number"'),
    ("a negative seed", {"seed": -1}, "less than the minimum of 0"),
    ("a seed of 33 bits", {"seed": 2**32}, "greater than the maximum of 4294967295"),
    ("a seed with a fraction", {"seed": 0.5}, 'not of type "integer"'),
    ("negative strength", {"prompt_strength": -0.01}, "less than the minimum of 0"),
    ("strength above 1", {"prompt_strength": 1.01}, "greater than the maximum of 1"),
    ("strength as text", {"prompt_strength": "0.5"}, 'not of type "number"'),
    ("quality above 100", {"output_quality": 101}, "greater than the maximum of 100"),
    ("quality below 0", {"output_quality": -1}, "less than the minimum of 0"),
    *((f"format {text!r}", {"output_format": text}, "is not one of") for text in ("gif", "PNG", "jpeg", "", " png")),
    *((f"ratio {text!r}", {"aspect_ratio": text}, "is not one of") for text in ("2:1", "1x1", "16/9", "", "1:1 ")),
    ("one LoRA as text", {"lora_weights": "owner/name"}, 'not of type "array"'),
    ("a LoRA that is a number", {"lora_weights": [7]}, 'not of type "string"'),
    ("a LoRA that is null", {"lora_weights": [None]}, 'not of type "string"'),
    ("one scale as a number", {"lora_weights": [LORA], "lora_scales": 1}, 'not of type "array"'),
    ("a scale that is text", {"lora_weights": [LORA], "lora_scales": ["1"]}, 'not of type "number"'),
    ("a switch that is text", {"disable_safety_checker": "true"}, 'not of type "boolean"'),
    ("another switch that is text", {"go_fast": "yes"}, 'not of type "boolean"'),
    ("a switch that is a number", {"disable_safety_checker": 1}, 'not of type "boolean"'),
    ("a token that is a number", {"hf_token": 7}, 'not of type "string"'),
]

ACCEPTED = "JPEG, PNG, WebP, GIF, AVIF and HEIC are accepted"
OTHER_FILES = {
    "text": b"hello, world",
    "a web page": b"<!doctype html><html><body>Not found</body></html>",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "TIFF": picture("TIFF"),
    "BMP": picture("BMP"),
    "ICO": picture("ICO", (32, 32)),
    "JPEG 2000": picture("JPEG2000"),
    "JSON": b'{"image": 1}',
    "a zip archive": zipped({"a.png": picture()}),
    "MP4": b"\0\0\0\x18ftypmp42\0\0\0\0isommp42",
    "zeros": bytes(1000),
}
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "HEIC")
NOT_ADDRESSES = (
    "/etc/passwd",
    "photo.jpg",
    "file:///etc/passwd",
    "ftp://example.invalid/a.png",
    "",
    "~/.ssh/id_rsa",
    "..",
)

IMAGES = [
    *(
        (f"an image at {text!r}", {"image": text}, "image must be a file as a data: URL or an https://")
        for text in NOT_ADDRESSES
    ),
    *((f"an image that is {name}", {"image": data_url(data)}, ACCEPTED) for name, data in OTHER_FILES.items()),
    *((f"half a {kind}", {"image": data_url(picture(kind)[: len(picture(kind)) // 2])}, "damaged") for kind in FORMATS),
    *((f"the start of a {kind}", {"image": data_url(picture(kind)[:20])}, "truncated or damaged") for kind in FORMATS),
    ("an empty image", {"image": data_url(b"")}, "image: the file is empty"),
    ("an image of 3,600 megapixels", {"image": data_url(png_header(60000, 60000))}, "at most 50 are accepted"),
    ("an image of 51 megapixels", {"image": data_url(png_header(10200, 5000))}, "at most 50 are accepted"),
    ("an image without pixels", {"image": data_url(png_header(64, 64))}, "damaged"),
    ("an image of more than 30 MB", {"image": data_url(bytes(30_000_001))}, "at most 30 are accepted"),
    ("a mask at a path", {"image": PNG, "mask": "/etc/passwd"}, "mask must be a file as a data: URL"),
    ("a mask alone", {"mask": mask()}, "mask is given without image"),
    ("a mask of another ratio", {"image": PNG, "mask": mask((48, 48))}, "another aspect ratio"),
    ("a mask without white", {"image": PNG, "mask": mask(white=False)}, "mask: no pixel is white"),
    ("a mask that is text", {"image": PNG, "mask": data_url(b"hello")}, ACCEPTED),
    ("a mask that is cut off", {"image": PNG, "mask": data_url(picture()[:60])}, "truncated or damaged"),
    ("match_input_image alone", {"aspect_ratio": "match_input_image"}, "but there is no image"),
]

PICKLES = ("a.bin", "a.pt", "a.ckpt", "a.pth", "a.pkl")
NO_REFERENCES = (
    "",
    " ",
    "name",
    "owner name",
    "a/b/c/d/e",
    "ftp://example.invalid/a.safetensors",
    "C:\\a.safetensors",
    "\0",
)
PRIVATE = ("10.0.0.1", "127.0.0.1", "localhost", "169.254.169.254", "192.168.1.1", "[::1]", "[::ffff:10.0.0.1]", "0.0.0.0",
           "2130706433", "100.64.0.1", "[fe80::1]", "172.16.0.9")  # fmt: skip
SECRET = "hf_averysecrettoken"

LORAS = [
    *((f"a LoRA at {text!r}", {"lora_weights": [text]}, "Accepted: owner/name") for text in NO_REFERENCES),
    *((f"a pickle {name}", {"lora_weights": [f"https://example.invalid/{name}"]}, "safetensors") for name in PICKLES),
    *((f"a LoRA at {host}", {"lora_weights": [f"https://{host}/a.safetensors"]}, "address") for host in PRIVATE),
    ("a LoRA at a path", {"lora_weights": ["/etc/passwd.safetensors"]}, "EASEL_ALLOW_FILES=1"),
    ("a LoRA at a relative path", {"lora_weights": ["./a.safetensors"]}, "EASEL_ALLOW_FILES=1"),
    ("a LoRA at a file: URL", {"lora_weights": ["file:///a.safetensors"]}, "scheme file://"),
    ("a LoRA by http", {"lora_weights": ["http://example.invalid/a.safetensors"]}, "https"),
    (
        "a LoRA behind a password",
        {"lora_weights": ["https://me:pw@example.invalid/a.safetensors"]},
        "user name or password",
    ),
    (
        "a LoRA by a long address",
        {"lora_weights": [f"https://example.invalid/{'a' * 3000}.safetensors"]},
        "characters long",
    ),
    ("a LoRA that is text", {"lora_weights": [data_url(b"hello")]}, "neither safetensors"),
    ("a LoRA that is a web page", {"lora_weights": [data_url(b"<!doctype html><html>")]}, "web page"),
    ("an empty LoRA", {"lora_weights": [data_url(b"")]}, "empty"),
    ("a LoRA that is not base64", {"lora_weights": ["data:application/octet-stream;base64,%%%"]}, "not base64"),
    ("a LoRA cut off", {"lora_weights": [data_url(lora()[:-10])]}, "cut off"),
    (
        "a LoRA for wider layers",
        {"lora_weights": [data_url(lora((4, 3840), (3840, 4)))]},
        "another size or version of this family",
    ),
    ("a LoRA for FLUX", {"lora_weights": [data_url(lora(layer="double_blocks.0.img_attn"))]}, "another base model"),
    (
        "a LoRA for SDXL",
        {"lora_weights": [data_url(lora(layer="down_blocks.1.to_q", prefix="unet."))]},
        "Stable Diffusion",
    ),
    ("a LoRA with a key too many", {"lora_weights": [data_url(lora(strange__lora_A__weight=1))]}, "fit no layer"),
    (
        "a LoRA with half a pair",
        {"lora_weights": [data_url(lora(layers__1__attention__to_q__lora_A__weight=1))]},
        "missing",
    ),
    ("a LoRA of NaN", {"lora_weights": [data_url(lora(value=float("nan")))]}, "NaN or infinite"),
    ("a LoRA of infinities", {"lora_weights": [data_url(lora(value=float("inf")))]}, "NaN or infinite"),
    ("a LoRA of rank 257", {"lora_weights": [data_url(lora((257, WIDTH), (WIDTH, 257)))]}, "at most 256"),
    ("a LoRA of rank 0", {"lora_weights": [data_url(lora((0, WIDTH), (WIDTH, 0)))]}, "shapes"),
    ("ranks that differ", {"lora_weights": [data_url(lora((4, WIDTH), (WIDTH, 8)))]}, "shapes"),
    ("LoKr", {"lora_weights": [data_url(lora(layers__0__lokr_w1=1))]}, "LoKr"),
    ("LoHa", {"lora_weights": [data_url(lora(layers__0__hada_w1_a=1))]}, "LoHa"),
    ("DoRA", {"lora_weights": [data_url(lora(layers__0__dora_scale=1))]}, "DoRA"),
    ("a full difference", {"lora_weights": [data_url(lora(layers__0__diff=1))]}, "full-rank differences"),
    ("DoRA by its settings", {"lora_weights": [peft_archive(use_dora=True)]}, "DoRA"),
    ("another method by its settings", {"lora_weights": [peft_archive(peft_type="IA3")]}, "IA3"),
    ("an alpha that is text", {"lora_weights": [peft_archive(lora_alpha="8")]}, "lora_alpha"),
    (
        "a zip of two LoRAs",
        {"lora_weights": [data_url(zipped({"a.safetensors": lora(), "b.safetensors": lora()}))]},
        "more than one .safetensors",
    ),
    ("a zip of none", {"lora_weights": [data_url(zipped({"a.txt": b"x"}))]}, "safetensors"),
    ("a zip that climbs out", {"lora_weights": [data_url(zipped({"../a.safetensors": lora()}))]}, "leaves its folder"),
    ("a zip with a root", {"lora_weights": [data_url(zipped({"/a.safetensors": lora()}))]}, "leaves its folder"),
    ("a zip cut off", {"lora_weights": [data_url(zipped({"a.safetensors": lora()})[:-30])]}, "damaged or incomplete"),
    ("a tar that climbs out", {"lora_weights": [data_url(tarred({"../a.safetensors": lora()}))]}, "leaves its folder"),
    ("a tar with a link", {"lora_weights": [data_url(tarred({"a.safetensors": lora()}, as_link))]}, "link or device"),
    (
        "a tar of two LoRAs",
        {"lora_weights": [data_url(tarred({"a.safetensors": lora(), "b.safetensors": lora()}))]},
        "more than one .safetensors",
    ),
    ("five LoRAs", {"lora_weights": [LORA] * 5}, "at most 4 are accepted"),
    ("a scale of 2.1", {"lora_weights": [LORA], "lora_scales": [2.1]}, "lora_scales[0] is 2.1"),
    ("a scale of -3", {"lora_weights": [LORA, LORA], "lora_scales": [1, -3]}, "lora_scales[1] is -3"),
    ("two scales for three", {"lora_weights": [LORA] * 3, "lora_scales": [1, 1]}, "2 numbers for 3 LoRAs"),
    ("scales alone", {"lora_scales": [1]}, "without lora_weights"),
    ("a token of two words", {"hf_token": f"{SECRET} {SECRET}"}, "hf_token must be text of at most 1000"),
    ("a long token", {"civitai_token": SECRET * 100}, "civitai_token must be text of at most 1000"),
    ("a token with a line break", {"hf_token": f"{SECRET}\r\nX: y"}, "hf_token must be text of at most 1000"),
    (
        "a token for a LoRA elsewhere",
        {"lora_weights": ["https://10.0.0.1/a.safetensors"], "hf_token": SECRET, "civitai_token": SECRET},
        "address",
    ),
]

MODEL = [*TEXTS, *IMAGES, *LORAS]

GOOD = [
    ("seed 0", {"seed": 0}),
    ("the highest seed", {"seed": 2**32 - 1, "num_outputs": 2}),
    ("emoji for a prompt", {"prompt": "\N{RED APPLE}\N{ZERO WIDTH JOINER}"}),
    ("right-to-left marks", {"prompt": "\u202eelppa\u202c \u200f\u05ea\u05e4\u05d5\u05d7"}),
    ("one letter", {"prompt": "x"}),
    ("5,000 letters outside the plane", {"prompt": "\N{RED APPLE}" * 5000, "output_format": "jpg"}),
    ("line breaks and tabs", {"prompt": "a\n\tred\r\napple"}),
    ("markup", {"prompt": "<|im_end|><script>alert(1)</script>{{7*7}} %s"}),
    ("whole numbers with a point", {"num_outputs": 1.0, "seed": 3.0}),
    ("no LoRAs", {"lora_weights": [], "lora_scales": []}),
    ("a LoRA", {"lora_weights": [LORA], "lora_scales": [-2]}),
    ("a LoRA in a zip in a folder", {"lora_weights": [data_url(zipped({"x/a.safetensors": lora(), "x/b.txt": b"x"}))]}),
    ("a LoRA with its settings", {"lora_weights": [peft_archive()]}),
    *((f"an image in {kind}", {"image": data_url(picture(kind))}) for kind in FORMATS),
    ("a mask of half the size", {"image": PNG, "mask": mask((24, 16))}),
    ("strength 0", {"image": PNG, "prompt_strength": 0}),
    ("an image of one pixel", {"image": data_url(picture(size=(1, 1)))}),
    ("tokens without use", {"hf_token": SECRET, "civitai_token": ""}),
    ("quality 0", {"output_quality": 0, "output_format": "jpg"}),
]
