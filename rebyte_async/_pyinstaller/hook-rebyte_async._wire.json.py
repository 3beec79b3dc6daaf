"""The fast reader of JSON is imported by its name, where the extra `speed` is installed."""

from importlib.util import find_spec

hiddenimports = ["orjson"] if find_spec("orjson") else []
