"""`telvend` and `python -m telvend`."""

from telvend.kit import environment, garbage

# Before anything else is imported: some libraries read their variables when they are loaded, and loading makes no garbage.
environment.clean()
garbage.look_seldom()

from telvend.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
