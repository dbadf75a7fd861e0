"""Contrastive explanations: the nearest image that a model finds equally likely to be either of two classes."""
