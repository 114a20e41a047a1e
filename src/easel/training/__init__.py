"""Fine-tuning: a stranger's images and captions in, a LoRA out."""
