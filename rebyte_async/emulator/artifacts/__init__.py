"""Artifacts on their way in and out: multipart bodies, ranges, downloads."""
