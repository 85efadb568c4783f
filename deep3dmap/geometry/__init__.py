"""Pure functions on tensors: no parameters, no registry, no files.

Import from the modules: ``rotations``, ``euler``, ``transforms`` (affine maps, rigid motions), ``projection`` (matrices,
depth), ``camera_conversions`` (other renderers' cameras), ``lookat`` (cameras on spheres, orbits, paths), ``pnp`` (cameras
from points), ``epipolar``, ``alignment``, ``icp``, ``point_normals``, ``normalization`` (into the unit sphere),
``silhouettes``, ``visual_hull``, ``distance_grid``, ``intersections``, ``meshing``, ``ray_casting``, ``triangles``,
``mesh_operators`` (normals, Laplacians), ``smoothing``, ``subdivision``, ``voxel_mesh``, ``voxels`` (of several levels),
``back_projection`` (features of pictures to voxels), ``fragments``, ``random_space``, ``nearest`` (neighbours among points)
and ``point_mesh`` (distances between points and faces).
"""
