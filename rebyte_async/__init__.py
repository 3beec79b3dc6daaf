"""The async-first Python SDK, with streaming, for the Rebyte Agent Computer API."""
