"""diffusers' own loading, as Cog's example z-image-turbo does it: `python -m gpu_check.plain_load FOLDER DEVICE`.

The last line of its output is JSON: seconds since 1970 when the imports and when everything was done.
"""

import json
import sys
import time

import torch
from diffusers import ZImagePipeline

imported = time.time()
pipeline = ZImagePipeline.from_pretrained(sys.argv[1], dtype=torch.bfloat16, low_cpu_mem_usage=False).to(sys.argv[2])
if sys.argv[2] == "cuda":
    torch.cuda.synchronize()
print(json.dumps({"imported": imported, "ended": time.time()}))
