"""What methods stand on: rules, redirected gradients, incremental inference, superpixels, baselines."""
