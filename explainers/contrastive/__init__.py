"""Contrastive explanations: the nearest picture that a model finds equally likely to be either of two classes."""
