"""Runs a module that ends when whoever started it does, however that one ended.

    python -m examples.support_desk.leash examples.support_desk.worker

The starter holds the other end of standard input. A killed starter cannot tidy up, but its end of
the pipe closes.
"""

import os
import runpy
import signal
import sys
import threading


def _end_with_starter() -> None:
    while os.read(0, 1024):  # not sys.stdin, whose lock would be held at the end
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run the module that the command line names, with the arguments that follow it."""
    module, sys.argv = sys.argv[1], sys.argv[1:]
    threading.Thread(target=_end_with_starter, daemon=True).start()
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
