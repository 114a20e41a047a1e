"""predict.py to openapi.json, as `cog build` would write it."""
