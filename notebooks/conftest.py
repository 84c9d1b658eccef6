"""Of each pair pytest runs the .ipynb; the .py would be imported in search of doctests."""

collect_ignore_glob = ["*.py"]
