"""Fine-tuning, distillation and quantisation-aware training."""
