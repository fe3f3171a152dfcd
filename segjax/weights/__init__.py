"""Weights in files: PyTorch's and safetensors, read without torch and without executing anything of them."""
