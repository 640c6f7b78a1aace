#!/bin/sh
# Build the project's wheel and install it, and nothing else, into a virtual environment.
#
#   install-project.sh VENV PROJECT
#
# VENV was made by install-dependencies.sh. PROJECT is only read.
set -eu

venv=$1
project=$2

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R "$project" "$work/project"
"$venv/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
    --wheel-dir "$work/wheels" "$work/project"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-index \
    "$work"/wheels/*.whl
