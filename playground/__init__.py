"""Small networks that people build, train and look into."""
