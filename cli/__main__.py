"""`python -m cli` is `finnt`."""

from cli import main

if __name__ == "__main__":  # a worker process imports this again under another name
    main()
