"""Settings of the process: threads, the backend, what is built in."""

from __future__ import annotations

from typing import Any

import pyrnn
from tests.fuzz.case import Case, entry
from tests.fuzz.draw import Draw


@entry(
    "settings",
    "set_num_threads",
    "get_num_threads",
    "build_info",
    "use_backend",
    "use_backend.__call__",
    "release_memory",
    weight=0.3,
)
def settings_case(draw: Draw) -> Case:
    """Other settings for a while."""
    arguments = {"n": draw.choice((1, 2, 3, 7)), "name": draw.choice(("native", "reference"))}

    def run(a: dict[str, Any]) -> Any:
        before = pyrnn.get_num_threads()
        try:
            pyrnn.set_num_threads(a["n"])
            with pyrnn.use_backend(a["name"]):
                inside = pyrnn.build_info()
                released = pyrnn.release_memory()
            decorated = pyrnn.use_backend(a["name"])(pyrnn.build_info)()
        finally:
            pyrnn.set_num_threads(before)
        backends = inside["backend"], decorated["backend"]
        return backends, inside["threads"], sorted(inside), type(released)

    return Case(arguments, run)
