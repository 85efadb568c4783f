"""Bytes to arrays and back: files, images, meshes, archives, downloads, worker processes. No method is known here."""
