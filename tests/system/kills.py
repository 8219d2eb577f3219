# SPDX-License-Identifier: Apache-2.0
"""Sweeps of kills: a program ends before each of its system calls that change
something, one after the other.

LODGE_KILLS=all takes every point, a number that many of them.
"""
import http.client
import os

from conftest import BUILD

KILL_AT = BUILD / "tests" / "system" / "kill-at"
KILLS = os.environ.get("LODGE_KILLS")
# kill-at's ends: processes may not be traced here; it was killed.
UNTRACED, KILLED = 77, 137
# What asking a lodged that was killed raises.
GONE = (http.client.HTTPException, OSError, ValueError)


def spread(count, some):
    """Which of so many points are taken: LODGE_KILLS, or so many."""
    some = count if KILLS == "all" else int(KILLS or some)
    return sorted({1 + i * (count - 1) // max(some - 1, 1)
                   for i in range(min(some, count))})


def sweep(kill, some=16):
    """Calls kill(point), which tells whether the program was killed there: it
    had ended before else. How many points there are varies by a few."""
    count = 1
    while kill(count):
        count *= 2
    if KILLS != "all":
        for point in spread(count, some):
            kill(point)
        return
    point, beyond = 1, 0
    while beyond < 3:
        beyond = 0 if kill(point) else beyond + 1
        point += 1
    print(f"killed at {point - 4} points")
