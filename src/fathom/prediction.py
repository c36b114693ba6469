"""What theory says of a run, from its settings and its data."""
