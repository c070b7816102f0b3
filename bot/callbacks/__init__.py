"""Callbacks: when to call (pure), who is due, placing and settling."""
