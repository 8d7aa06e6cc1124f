"""Late requeries: providers are asked again about attempts that a person has decided, so that a late report is not missed."""
