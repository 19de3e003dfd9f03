"""Homologous attention (Eq. 6): the definition, and faster ways to compute it."""
