"""Fixed sin-cos segment embeddings.

Section 3.2 follows BERT, whose segments are learnt.
"""

_base_ = "./mixedae.py"

model = dict(segment_embedding="fixed")
