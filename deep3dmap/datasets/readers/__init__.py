"""Readers and writers of capture formats: each a module with ``detect``, ``scan``, ``read``, ``write``, ``LOOKED_FOR``."""

from deep3dmap.datasets.readers import colmap, h3ds, idr, middlebury, transforms

READERS = dict(idr=idr, h3ds=h3ds, middlebury=middlebury, transforms=transforms, colmap=colmap)
