"""Easel: a text-to-image diffusion model as a product."""

__version__ = "0.1.0"
