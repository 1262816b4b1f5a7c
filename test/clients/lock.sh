#!/bin/sh
# Writes the lock files anew. Needs uv (https://docs.astral.sh/uv).
set -eu
cd "$(dirname "$0")"
for name in openai fastchat; do
	uv pip compile --quiet --no-header --no-annotate --generate-hashes --no-emit-index-url --no-emit-find-links --override overrides.in \
		--python-version 3.11 --python-platform x86_64-manylinux_2_28 --output-file "$name.lock" "$name.in"
done
