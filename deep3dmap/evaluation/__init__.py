"""Metrics of images, surfaces, shapes, heads, rooms and cameras."""

from deep3dmap.evaluation import faces, head_metric, metrics, rooms, shape_metric
