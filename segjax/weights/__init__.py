"""Weights in files: PyTorch's and safetensors, read without torch and without executing anything of them."""

from segjax.weights.state_dict import read

__all__ = ["read"]
