"""Agno's tool for media: it wants the address of each file that a model made."""

import json
import os
import urllib.request

from agno.tools.replicate import ReplicateTools

tools = ReplicateTools(api_key=os.environ["REPLICATE_API_TOKEN"], model="easel/emoji")
result = tools.generate_media(agent=None, prompt="a red apple")
urls = [image.url for image in result.images or []]
sizes = [len(urllib.request.urlopen(url, timeout=30).read()) for url in urls]
print(json.dumps({"content": result.content, "urls": urls, "sizes": sizes}))
