# IDR exactly as the paper's: dtu_fixed_cameras.py, with every ray traced by the network itself as in the authors' code.
_base_ = ["dtu_fixed_cameras.py"]

model = dict(renderer=dict(cache=None))
