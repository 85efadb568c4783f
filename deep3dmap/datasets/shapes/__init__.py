"""Shapes: signed-distance samples of meshes, points of surfaces, pairs to compare."""

from deep3dmap.datasets.shapes.sdf_shapes import SDFShapes, SDFTestShapes

__all__ = ["SDFShapes", "SDFTestShapes"]
