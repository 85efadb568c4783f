"""Metrics of images, surfaces, shapes, heads and cameras."""

from deep3dmap.evaluation import faces, head_metric, metrics, shape_metric
