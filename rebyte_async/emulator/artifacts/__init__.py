"""Artifacts: stored, uploaded and downloaded."""
