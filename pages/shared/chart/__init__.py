"""The one chart component: a plotly figure that keeps its zoom and hands on what the mouse does."""
