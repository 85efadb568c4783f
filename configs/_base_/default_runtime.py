seed = 0
amp = "auto"  # mixed precision where it is faster
default_hooks = dict(log=dict(type="LogHook", interval=10, seconds=10.0),
                     pictures=dict(type="PictureHook", minutes=2.0),
                     checkpoint=dict(type="CheckpointHook", minutes=2.0, keep=3))
test_cfg = dict(type="ReconstructionTestLoop", resolution=256)
test_evaluator = [dict(type="ViewMetrics"), dict(type="SurfaceMetrics"), dict(type="CameraMetrics")]
