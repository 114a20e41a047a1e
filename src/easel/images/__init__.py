"""A stranger's bytes to an image, safely; an image to a file with its metadata."""
