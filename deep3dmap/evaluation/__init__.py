"""Figures of merit: of pictures, surfaces and cameras."""

from deep3dmap.evaluation import metrics, shape_metric
