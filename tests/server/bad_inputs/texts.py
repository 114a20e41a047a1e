"""Texts, sizes and seeds that only Easel can judge; rows as in cases.py."""

TEXTS = [
    *(
        (f"a prompt of {text!r}", {"prompt": text}, "prompt is empty")
        for text in (" ", "\t\n", "\u3000", "\u00a0\u2003")
    ),
    *(
        (f"a prompt with {ord(letter):#04x}", {"prompt": f"a{letter}b"}, f"control character {ord(letter):#04x}")
        for letter in "\0\x01\x08\x0b\x1b\x1f"
    ),
    ("a negative prompt with NUL", {"negative_prompt": "\0"}, "negative_prompt contains the control character 0x00"),
    ("width alone", {"width": 128}, "width is given without height"),
    ("height alone", {"height": 128}, "height is given without width"),
    ("too many pixels", {"width": 2048, "height": 2048}, "emoji makes 4096 to 36864 pixels"),
    ("too many pixels in a strip", {"width": 64, "height": 2048}, "emoji makes 4096 to 36864 pixels"),
    ("all wrong at once", {"prompt": " ", "width": 64, "lora_scales": [1]}, "lora_scales is given without"),
]
