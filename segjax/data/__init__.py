"""segjax.data"""
