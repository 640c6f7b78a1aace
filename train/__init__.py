"""From labelled text to a served version: fit, export, compress, verify, publish."""

import os

# Torch's threads spin while they wait for each other. Where other processes want the cores too, one
# of them is then waited for by burning the time that it needs: a step took six times as long on a
# busy machine. Torch reads this when it is imported, which train does later.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
