"""What happens when parts die: real processes, killed in the middle."""
