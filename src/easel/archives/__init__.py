"""Archives of strangers: their members, one after the other, within limits."""
