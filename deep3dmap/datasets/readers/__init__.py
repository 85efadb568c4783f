"""Readers and writers of capture formats: see :mod:`deep3dmap.datasets.readers.base`."""

from deep3dmap.datasets.readers import colmap, h3ds, idr, middlebury, transforms

READERS = dict(idr=idr, h3ds=h3ds, middlebury=middlebury, transforms=transforms, colmap=colmap)
