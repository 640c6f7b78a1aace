"""A peer that polls while it is idle costs nobody else anything."""

import subprocess
import sys
import time

import psutil

from benchmarks.processes import Family


def test_a_family_that_sleeps_uses_no_processor_until_it_is_awake():
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        family = Family(busy.pid)
        family.sleep()
        time.sleep(0.1)
        before = sum(family.cpu().values())
        time.sleep(0.3)
        assert sum(family.cpu().values()) == before
        with family.awake():
            ends = time.monotonic() + 10
            while sum(family.cpu().values()) == before and time.monotonic() < ends:
                time.sleep(0.05)
            assert sum(family.cpu().values()) > before
        time.sleep(0.1)
        assert psutil.Process(busy.pid).status() == psutil.STATUS_STOPPED
    finally:
        busy.kill()
        busy.wait()


def test_a_family_that_never_slept_goes_on():
    busy = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with Family(busy.pid).awake():
            pass
        assert psutil.Process(busy.pid).status() != psutil.STATUS_STOPPED
    finally:
        busy.kill()
        busy.wait()
