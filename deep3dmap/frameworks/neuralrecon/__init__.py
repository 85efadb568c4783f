"""NeuralRecon: a room's surface from a posed video, as it comes (Sun et al., CVPR 2021)."""
