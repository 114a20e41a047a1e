"""Easel: a text-to-image diffusion model as a product."""

__version__ = "0.2.0"
