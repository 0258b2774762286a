"""Tasks that are ready to be used."""
