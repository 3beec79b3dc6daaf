"""Webhooks: notifying receivers of what happens to tasks."""
