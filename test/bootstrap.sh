#!/bin/sh
# Runs one of the project's scripts on a machine that may have nothing but an old Node: installs the project's own Node 24 and
# packages where they are missing or older than the lock file, then hands over. Usage: sh test/bootstrap.sh SCRIPT [ARGUMENT…]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"

complain() {
	echo "This needs $1, which this machine lacks: $2" >&2
	exit 1
}

command -v npm >/dev/null 2>&1 || complain "Node.js with npm (20 or later)" "install it from https://nodejs.org or your package manager"

stamp=node_modules/.installed-from
if [ ! -x node_modules/.bin/node ] || ! cmp -s package-lock.json "$stamp"; then
	echo "Installing the project's packages and its own Node 24 …" >&2
	# Not npm ci: it insists on packages for every other platform, which not every registry has.
	npm install --no-save --no-audit --no-fund --loglevel=error
	[ -x node_modules/.bin/node ] || complain "the node package's binary" "run 'npm install' by hand and look at what it prints"
	cp package-lock.json "$stamp"
fi

PATH="$root/node_modules/.bin:$PATH"
export PATH
exec node "$@"
