"""The vendor: calls, what their answers mean, and the client that sends them."""
