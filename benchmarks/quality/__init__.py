"""Quality next to the usual peers, on public splits and by time: `make bench-quality`."""
