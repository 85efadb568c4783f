"""Rendering of meshes: by ray casting, not differentiable."""
