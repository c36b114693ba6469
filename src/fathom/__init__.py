"""Fathom tells you how deep your network can train, and why."""
