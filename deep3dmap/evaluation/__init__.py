"""Metrics of images, generated pictures, surfaces, shapes, heads, rooms and cameras."""

from deep3dmap.evaluation import depth_images, faces, frechet, head_metric, metrics, rooms, shape_metric
