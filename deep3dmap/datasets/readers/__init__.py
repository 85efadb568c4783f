"""Readers and writers of capture formats: each a module with ``detect``, ``scan``, ``read``, ``write``, ``LOOKED_FOR``."""

from deep3dmap.datasets.readers import colmap, idr, middlebury, transforms

READERS = dict(idr=idr, middlebury=middlebury, transforms=transforms, colmap=colmap)
