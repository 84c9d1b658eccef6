"""The optimiser's inner loop in C; where it cannot be compiled numpy does the same."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "finntelligence._search",
            ["finntelligence/_search.c"],
            extra_compile_args=["-O3"],
            optional=True,
        )
    ]
)
