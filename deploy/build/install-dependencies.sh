#!/bin/sh
# Make a virtual environment with what the project depends on, without the project itself: this
# layer of the image changes only when pyproject.toml or constraints.txt change.
#
#   install-dependencies.sh VENV PROJECT [DEVICE]
#
# PROJECT holds pyproject.toml and constraints.txt. DEVICE is cpu (default); cuda, which adds the
# CUDA libraries that ONNX Runtime loads; or slim: a CPU, and ONNX files only.
#
# PYTHON       the interpreter of the environment; default python3
# TORCH_INDEX  a second package index, for the torch build of that device; default none
set -eu

venv=$1
project=$2
device=${3:-cpu}

"${PYTHON:-python3}" -m venv "$venv"
wanted=$(mktemp)
"$venv/bin/python" - "$project/pyproject.toml" "$device" >"$wanted" <<'PYTHON'
import sys
import tomllib

with open(sys.argv[1], "rb") as file:
    project = tomllib.load(file)["project"]
wanted = project["dependencies"]
if sys.argv[2] != "slim":
    extras = project.get("optional-dependencies", {})
    for name in ("torch", "openvino", "train"):
        wanted += [one for one in extras.get(name, []) if not one.startswith(project["name"])]
print("\n".join(wanted))
PYTHON
# The wheel of the project is built with the pinned setuptools, in this environment.
echo setuptools >>"$wanted"
if [ "$device" = cuda ]; then
    echo "onnxruntime-gpu[cuda,cudnn]" >>"$wanted"
fi
"$venv/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check \
    --constraint "$project/constraints.txt" \
    ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} \
    --requirement "$wanted"
rm "$wanted"

if [ "$device" != cuda ] && ls "$venv"/lib/python3*/site-packages | grep -q '^nvidia'; then
    echo "install-dependencies.sh: torch came with gigabytes of CUDA libraries that the CPU image" \
        "does not use; set TORCH_INDEX to PyTorch's index of CPU builds." >&2
fi
