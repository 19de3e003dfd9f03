"""No segment embeddings.

Section 3.2 adds them "to provide necessary information to complete homologous recognition".
"""

_base_ = "./mixedae.py"

model = dict(segment_embedding="none")
