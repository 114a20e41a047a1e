"""The guarded way to an address that a caller named."""
