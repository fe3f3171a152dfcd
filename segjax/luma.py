"""How bright colours look: one standard, for what is augmented on the host, on a device, and drawn."""

LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue (ITU-R BT.601)."""
