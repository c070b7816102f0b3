"""Word frequencies for language detection: data, and how it was made."""
