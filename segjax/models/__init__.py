"""segjax.models"""
