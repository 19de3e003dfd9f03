"""Evaluation of frozen features: k-NN and linear probes."""
