#!/usr/bin/env bash
# Brings the console's charting library anew: the package's own built files, checked to the byte.
set -euo pipefail
package=uplot@1.6.32
archive=4b8a8191e425658e3ea8c8c1314b0fc679c861ee3a1af2b20c7b16ba50b5133d
here="$(cd "$(dirname "$0")" && pwd)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
npm pack --silent "$package"
echo "$archive  ${package/@/-}.tgz" | sha256sum --check --quiet
tar xzf "${package/@/-}.tgz"
install -m 644 package/dist/uPlot.iife.min.js package/dist/uPlot.min.css "$here/static/vendor"
install -m 644 package/LICENSE "$here/static/vendor/uPlot.LICENSE"
cd "$here/static/vendor" && sha256sum --check --quiet SHA256SUMS
