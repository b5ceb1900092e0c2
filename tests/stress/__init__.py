"""Long random runs, for `make stress`: what is run is in `__main__`, how to read it in docs/stress.md."""
