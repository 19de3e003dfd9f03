"""MixedAE-Full*: full mode with a light decoder, 2 layers, 256 wide (section 4.1); 300 epochs, batch 1024.

    torchrun --nproc-per-node 8 tools/train.py <this file> --launcher pytorch

Published (arXiv 2303.17152, Table 1): 83.7 % top-1, 47.4 mIoU, 48.9 box AP, 42.5 mask AP; 30.8 GPU-days.
The number of the decoder's heads is not stated: 16, as in the standard decoder.
"""

_base_ = "./mixedae-full_vit-base-p16_8xb128-amp-coslr-300e_in1k.py"

model = dict(neck=dict(decoder_depth=2, decoder_embed_dim=256))
