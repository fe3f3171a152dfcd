"""segjax.train"""
