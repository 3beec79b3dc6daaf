"""Webhooks: who is told what happens to tasks, and how it is delivered."""
