"""The API on the wire, as values and pure functions: without a socket, a clock or aiohttp.

Endpoints, the errors that responses become, the models and events that JSON becomes, and what no error may show.
"""
