# Your own recording: `deep3dmap reconstruct RECORDING --method neuralrecon`.
_base_ = ["small.py"]

test_dataset = dict(recording="path of your recording", split="all", complete=True)
test_evaluator = [dict(type="RoomMetrics", every=10)]
