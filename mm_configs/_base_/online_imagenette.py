"""The online probe on 500 training and 500 validation pictures of Imagenette at 64 x 64, as small_imagenette.py's.

A leaf adds it: ``custom_hooks = [*_base_.custom_hooks, *_base_.online.custom_hooks]``.
"""

online = dict(
    custom_hooks=[
        dict(
            type="mixedae.OnlineProbeHook",
            **{
                f"{side}_dataloader": dict(
                    batch_size=100,
                    num_workers=0,
                    dataset=dict(
                        type="mmpretrain.CustomDataset",
                        data_root="{{$MIXEDAE_DATA_IMAGENETTE:data/imagenette}}",
                        data_prefix=side,
                        pipeline=[
                            dict(type="mixedae.LoadPicture"),
                            dict(
                                type="ResizeEdge",
                                scale=73,
                                edge="short",
                                backend="pillow",
                                interpolation="bicubic",
                            ),
                            dict(type="CenterCrop", crop_size=64),
                            dict(type="PackInputs"),
                        ],
                    ),
                )
                for side in ("train", "val")
            },
        )
    ]
)
