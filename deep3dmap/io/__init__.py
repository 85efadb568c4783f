"""Reading and writing of files: images, meshes, archives, downloads; and worker processes. Independent of any method."""
