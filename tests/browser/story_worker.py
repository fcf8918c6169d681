"""The support desk's worker at the story's time: STORY_AHEAD_S is what its clock is ahead by."""

import os

from broker.app import system_clock
from examples.support_desk.worker import worker

if __name__ == "__main__":
    ahead_s = float(os.environ["STORY_AHEAD_S"])
    worker._now = lambda: system_clock() + ahead_s
    worker.run()
