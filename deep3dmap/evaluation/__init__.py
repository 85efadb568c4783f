"""Figures of merit: of pictures, surfaces and cameras."""

from deep3dmap.evaluation import head_metric, metrics, shape_metric
