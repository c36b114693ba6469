"""What one activation is and does: its shape, its faults, its speed."""
