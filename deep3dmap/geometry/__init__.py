"""Pure functions on tensors: no parameters, no registry, no files.

Import from the modules: ``rotations``, ``projection`` (matrices, depth), ``lookat`` (cameras on spheres, orbits, paths),
``epipolar``, ``alignment``, ``normalization`` (into the unit sphere), ``silhouettes``, ``visual_hull``, ``distance_grid``,
``intersections``, ``meshing``, ``ray_casting``, ``triangles``, ``mesh_operators`` (normals, Laplacians), ``subdivision``,
``voxel_mesh``, ``nearest`` (neighbours among points) and ``point_mesh`` (distances between points and faces).
"""
