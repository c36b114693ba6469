"""Mean-field theory of signal propagation: float64 numbers of activations, weights and widths."""
