"""This project beside its peers: how fast they are, and what they lose when things break."""
