"""`python -m rebyte_async`: the same as the command `rebyte-async`."""

from rebyte_async.cli import main

if __name__ == "__main__":
    main()
