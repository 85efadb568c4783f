"""What a trained space of shapes is good for: fitting, meshing, interpolating, sampling."""
