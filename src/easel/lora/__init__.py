"""LoRA: from the reference that a caller typed to layers around the transformer's, for one request."""
