"""The demo that ships with Parallax: procedural paintings and four small nets that look at them."""
