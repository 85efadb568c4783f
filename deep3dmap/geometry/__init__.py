"""Pure functions on tensors: no parameters, no registry, no files.

Import from the modules: ``rotations``, ``projection`` (matrices, depth), ``lookat`` (cameras on spheres, orbits, paths),
``epipolar``, ``alignment``, ``normalization`` (into the unit sphere), ``silhouettes``, ``visual_hull``, ``distance_grid``,
``intersections``, ``meshing`` and ``ray_casting``.
"""
