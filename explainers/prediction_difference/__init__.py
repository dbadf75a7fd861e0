"""Prediction difference analysis (Zintgraf et al. 2017): what a class gains or loses when a window is unknown."""
