"""Audits: registering them and the workers who were interviewed."""
