"""A plan to images: components in memory, the denoising, what one request leaves behind."""
