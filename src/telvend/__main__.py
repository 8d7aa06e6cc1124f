"""`telvend` and `python -m telvend`."""

from telvend.cli import main

if __name__ == "__main__":
    main()
