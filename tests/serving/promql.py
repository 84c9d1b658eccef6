"""As much of PromQL as tells which series a query asks for."""

import json
import re
from pathlib import Path
from typing import NamedTuple

import yaml
from prometheus_client.parser import text_string_to_metric_families

DEPLOY = Path(__file__).parents[2] / "deploy"
TEXT, RANGE = re.compile(r'"(?:[^"\\]|\\.)*"'), re.compile(r"\[\w+\]|\[\$__rate_interval\]")
GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^()]*)\)")
SELECTOR = re.compile(r"([A-Za-z_:][\w:]*)\s*\{([^{}]*)\}")
MATCHER = re.compile(r"\s*(\w+)\s*(?:=~|!~|!=|=)\s*_")  # `_` stands for a text
NAME = re.compile(r"[A-Za-z_:][\w:]*(?!\w*\s*\()")
LEFT = re.compile(r"[\s\d.()+*/%^,<>=!-]*")  # what may stand beside names
OPERATORS = {"and", "or", "unless", "bool", "offset"}


class Asked(NamedTuple):
    """Metrics with the labels that select among them, and the labels that group."""

    series: dict[str, set[str]]
    grouping: set[str]


def asked(query):
    """Return what a query asks for."""
    plain = RANGE.sub("", TEXT.sub("_", query))
    if plain.count("(") != plain.count(")"):
        raise ValueError(f"{query!r} is not closed")
    grouping = {label.strip() for labels in GROUPING.findall(plain) for label in labels.split(",")}
    series = {}
    for name, matchers in SELECTOR.findall(plain):
        found = [MATCHER.fullmatch(each) for each in matchers.split(",")]
        series.setdefault(name, set()).update(each[1] for each in found)
    rest = SELECTOR.sub("", GROUPING.sub("", plain))
    functions = re.sub(r"[a-z_]+\s*\(", "(", rest)
    for name in set(NAME.findall(functions)) - OPERATORS:
        series.setdefault(name, set())
    if not LEFT.fullmatch(NAME.sub("", functions)):
        raise ValueError(f"cannot read {query!r}")
    return Asked(series, grouping)


def exposed(text):
    """Return the labels of every series that a /metrics text has, by name."""
    series = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            series.setdefault(sample.name, set()).update(sample.labels)
    return series


def of_dashboard():
    """Return each panel's queries as (title, query)."""
    content = json.loads((DEPLOY / "grafana" / "finntelligence.json").read_text(encoding="utf-8"))
    return [
        (panel["title"], target["expr"])
        for panel in content["panels"]
        for target in panel.get("targets", ())
    ]


def of_alerts():
    """Return each alert's query as (name, query)."""
    content = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))
    return [(rule["alert"], rule["expr"]) for g in content["groups"] for rule in g["rules"]]


def unanswered(query, series):
    """Return what a query asks for that these series do not have."""
    wanted, missing = asked(query), []
    known = set().union(*(series.get(name, set()) for name in wanted.series))
    for name, labels in wanted.series.items():
        if name not in series:
            missing.append(name)
        else:
            missing += [f"{name}{{{label}}}" for label in sorted(labels - series[name])]
    return missing + [f"by ({label})" for label in sorted(wanted.grouping - known)]
