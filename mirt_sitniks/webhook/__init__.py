"""The door for Sitniks' own webhooks."""
