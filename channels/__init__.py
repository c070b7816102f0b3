"""The workers' door: one file per channel, between a provider's requests and the common format."""
