"""Cases: what was reported, worked on by people against clocks, closed by the worker's word."""
