"""`python -m cli` is `finnt`."""

from cli import main

main()
