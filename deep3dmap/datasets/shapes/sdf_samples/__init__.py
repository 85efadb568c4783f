"""Signed-distance samples of shapes in DeepSDF's layout: ``layout`` reads and writes it, ``preparing`` creates it."""
