"""script/gpu-check: what Z-Image-Turbo does on this machine's GPU, in one command."""
