"""Learned re-ranking over the candidates of several models."""
