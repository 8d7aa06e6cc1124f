"""The lists that the catalogue comes with, as CSV."""


def read(name: str) -> str:
    """Return the text of one of these files."""
    # Imported late: only a first start and sales of billers' products read a list.
    from importlib.resources import files

    return (files(__name__) / name).read_text("utf-8")
