"""The core's inner loops in C; where they cannot be compiled numpy does the same."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "finntelligence._search",
            ["finntelligence/_search.c"],
            # a product and a sum rounded once would give other last bits than numpy does
            extra_compile_args=["-O3", "-ffp-contract=off"],
            optional=True,
        )
    ]
)
