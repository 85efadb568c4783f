"""Use of a trained shape space: fitting, meshing, interpolating, sampling."""
