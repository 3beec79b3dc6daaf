"""The check of signatures is imported by its name, since it needs the extra `webhooks`."""

hiddenimports = ["rebyte_async.webhooks._rsa"]
