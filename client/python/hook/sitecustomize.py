# SPDX-License-Identifier: LGPL-2.1-or-later
"""
The hook for unmodified scripts. `headroom run` puts this directory in front of PYTHONPATH, so that each Python of the job
imports this at its start, and with it the package headroom that stands beside. It must not be noticed:

- the directory goes to the end of sys.path, where it shadows no module of the script's;
- of the package only _hook is loaded, as _headroom._hook: a script's own module of the name headroom stays its own;
- the sitecustomize that would have been imported without us is imported in this one's place;
- errors are the hook's own affair; a Python before 3.8 gets none of it (this file is Python 2 as well).
"""
import os
import sys


def load_hook(directory):
    package = type(sys)("_headroom")
    package.__path__ = [os.path.join(directory, "headroom")]
    sys.modules["_headroom"] = package
    import _headroom._hook


def run_next(path):
    """The sitecustomize found on path becomes the module sitecustomize; its errors are reported as without us."""
    if sys.version_info[0] == 2:
        import imp

        try:
            found = imp.find_module("sitecustomize", path)
        except ImportError:
            return
        imp.load_module("sitecustomize", *found)
    else:
        from _frozen_importlib import module_from_spec
        from _frozen_importlib_external import PathFinder

        spec = PathFinder.find_spec("sitecustomize", path)
        if spec is not None and spec.loader is not None:
            sys.modules["sitecustomize"] = module = module_from_spec(spec)
            spec.loader.exec_module(module)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    others = [path for path in sys.path if os.path.abspath(path) != here]
    sys.path[:] = others + [here]
    if sys.version_info >= (3, 8) and os.environ.get("MEMORY_PRESSURE_WATCH"):
        try:
            load_hook(here)
        except Exception:
            pass
    run_next(others)


main()
