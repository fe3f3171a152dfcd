"""segjax.ops"""
