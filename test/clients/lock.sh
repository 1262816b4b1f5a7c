#!/bin/sh
# Writes the lock file anew from requirements.in. Needs uv (https://docs.astral.sh/uv).
set -eu
cd "$(dirname "$0")"
uv pip compile --quiet --no-header --no-annotate --generate-hashes --no-emit-index-url --no-emit-find-links \
	--python-version 3.11 --python-platform x86_64-manylinux_2_28 --output-file requirements.lock requirements.in
