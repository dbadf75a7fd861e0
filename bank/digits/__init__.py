"""Handwritten digits: real ones from scikit-learn, and three small nets that read them."""
