"""Networks and training systems, one package per paper (see README: map paper -> code)."""
