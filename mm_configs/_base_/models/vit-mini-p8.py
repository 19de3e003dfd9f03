"""The mini ViT that pre-training and all transfers share, as MixedAEViT's ``arch``; small, for minutes on one core."""

vit_mini = dict(embed_dims=96, num_layers=4, num_heads=3, feedforward_channels=384)
vit_mini_patch = 8
vit_mini_taps = (0, 1, 2, 3)  # the layers whose maps make a pyramid
