"""What the console is made of, and what its answers allow a browser; no browser is needed."""

import gzip
import hashlib
from pathlib import Path

from finntelligence.rules import RULES
from serving import console

STATIC = Path(console.__file__).with_name("static")
MOST_BYTES = 500_000


def test_the_page_may_load_and_send_only_here_and_run_nothing_inline(client):
    for path in ("/console", "/console/app.js", "/console/vendor/uPlot.iife.min.js"):
        response = client.get(path)
        assert response.status_code == 200
        said = response.headers["content-security-policy"]
        assert "default-src 'none'" in said
        assert "unsafe" not in said
        assert "http" not in said
    assert client.get("/console/nothing.js").status_code == 404


def test_all_of_it_is_small():
    files = [path for path in STATIC.rglob("*") if path.is_file()]
    assert sum(len(gzip.compress(path.read_bytes())) for path in files) < MOST_BYTES


def test_the_page_has_words_for_every_rule():
    words = (STATIC / "format.js").read_text(encoding="utf-8")
    assert [rule.code for rule in RULES if f'  {rule.code}: "' not in words] == []


def test_the_charting_library_is_the_published_one_to_the_byte():
    for line in (STATIC / "vendor" / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split()
        assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == digest
