"""The modules of the commands are imported by their names, when a command runs."""

from pkgutil import walk_packages

from rebyte_async import cli

hiddenimports = [module.name for module in walk_packages(cli.__path__, "rebyte_async.cli.")]
