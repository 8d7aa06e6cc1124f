"""`telvend` and `python -m telvend`."""

from telvend.kit import environment

# Before anything else is imported: some libraries read their variables when they are loaded.
environment.clean()

from telvend.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
