"""Bytes to arrays and back: files, images, meshes, archives, downloads, worker processes. Independent of any method."""
