"""What Slurm says of jobs, without its accounting: squeue for those under way, scontrol for how one ended.

submitit asks sacct. A cluster without accounting has none: submitit then warns at every look, and never learns that a
job ended without a result.
"""

import subprocess
import time

LOOKS = 2
"""Looks in a row at which a job must be absent: its last files may still be on their way through a network disk."""


class Queue:
    """The user's jobs, looked at now and then.

    Args:
        interval: seconds between two looks.
    """

    def __init__(self, interval: float = 5.0) -> None:
        self.interval = interval
        self._looked = float("-inf")
        self._looks = 0
        self._seen: dict[str, int] = {}  # job to the number of the look that saw it last

    def ended(self, job: str) -> bool:
        """Whether a job is no longer there; one that is requeued is. As long as Slurm does not answer, none has ended.

        Args:
            job: its number.
        """
        self._seen.setdefault(job, self._looks)
        if time.monotonic() - self._looked > self.interval:
            self._looked = time.monotonic()
            self._look()
        return self._looks - self._seen[job] >= LOOKS

    def _look(self) -> None:
        if (jobs := _ask("squeue", "--noheader", "--me", "--format=%A")) is None:
            return
        self._looks += 1
        self._seen.update(dict.fromkeys(set(jobs.split()) & self._seen.keys(), self._looks))


def how_it_ended(job: str) -> str:
    """Slurm's word for how a job ended, such as ``NODE_FAIL``; empty if it does not know any more.

    Args:
        job: its number.
    """
    text = _ask("scontrol", "--oneliner", "show", "job", job) or ""
    return dict(word.split("=", 1) for word in text.split() if "=" in word).get("JobState", "")


def is_there(job: str) -> bool:
    """Whether a job is under way, by a look now.

    Args:
        job: its number.
    """
    return job in (_ask("squeue", "--noheader", "--me", "--format=%A") or "").split()


def _ask(*command: str) -> str | None:
    """A command's output; None if it fails, as it does while Slurm's controller is busy or starts again."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return None
