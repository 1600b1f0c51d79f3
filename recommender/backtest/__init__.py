"""Nights that are past, run again under a policy: what would have gone live, and what later data says about it."""
