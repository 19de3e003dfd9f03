"""What every run shares, with any library: hooks, seed, environment.

A leaf adds the library's scope (``default_scope``); classification_runtime.py and segmentation_runtime.py do so,
together with the visualizer that draws the library's pictures.
"""

custom_imports = dict(imports=["mixedae.registry"], allow_failed_imports=False)

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    # At least two: mmengine deletes the old file before it writes the new one, so a kill could leave none.
    checkpoint=dict(type="CheckpointHook", interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
custom_hooks = [
    dict(type="mixedae.StrictLoadingHook"),  # for commands that pass over runner_type: mmseg's test.py
    dict(type="mixedae.NonFiniteLossHook"),  # a NaN ends the run
    dict(type="mixedae.EffectiveBatchHook"),  # prints the batch and checks that the learning rate fits it
    dict(type="mixedae.WaitingHook"),  # says once if training waits for pictures, and how many workers would do
    dict(type="mixedae.ProgressHook"),  # progress.json, one line with the time left
    dict(type="mixedae.OutcomesHook"),  # outcomes.npz: what each test image contributed
    dict(type="mixedae.RunRecordHook"),  # run_record.json
]

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0),
    dist_cfg=dict(backend="nccl"),
)
visualizer = dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend")])
# Each process has its own stream of random numbers: with one seed for all, each GPU would draw the same crops.
randomness = dict(seed=0, diff_rank_seed=True)
log_level = "INFO"
load_from = None
resume = False

# Exact resume and strict checkpoints, with upstream's commands too
runner_type = "mixedae.StrictRunner"
