#!/bin/sh
# Build the project's wheel and install it, and nothing else, into a virtual environment.
#
#   install-project.sh VENV PROJECT
#
# VENV was made by install-dependencies.sh. The build writes into PROJECT too.
set -eu

venv=$1
project=$2

wheels=$(mktemp -d)
"$venv/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
    --wheel-dir "$wheels" "$project"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-index \
    "$wheels"/*.whl
rm -r "$wheels"
