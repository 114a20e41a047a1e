"""LangChain's language model on Replicate: all at once, and part by part."""

import json
import os

from langchain_community.llms import Replicate

MODEL = f"test/talker:{os.environ['TALKER']}"
whole = Replicate(model=MODEL, model_kwargs={"seconds": 0.05})
parts = list(Replicate(model=MODEL, streaming=True, model_kwargs={"seconds": 0.05}).stream("one two three"))
stopped = Replicate(model=MODEL, stop=["three"], model_kwargs={"seconds": 0.05}).invoke("one two three four")
print(json.dumps({"whole": whole.invoke("one two three"), "parts": parts, "stopped": stopped}))
