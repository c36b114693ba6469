"""Backpropagation by hand in NumPy: to read, and to judge the fast engines by.

Nothing here imports the rest of the package, so that an error there cannot hide here. All numbers
are float64. Start with `layers.py` for the chain rule, `losses.py` for its beginning and `train.py`
for the loop; `python -m fathom.reference` trains a small network.
"""
