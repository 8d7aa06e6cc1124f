"""Finding orders by what people read out: a number, or a reference of anybody's."""
