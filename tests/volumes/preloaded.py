"""A process that has imported everything and forks for every run: runs start at once.

Runs are processes of their own, so they can be killed, limited, or run out of disk.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SERVER = """
import json, os, sys
import formulaic, nibabel, pandas, scipy.special, tqdm
import isoscan.harmonizing, isoscan.tables, isoscan.volumes, isoscan.cli.volumes
from isoscan.cli.main import main

print("ready", flush=True)
for line in sys.stdin:
    job = json.loads(line)
    child = os.fork()
    if child == 0:
        log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1)
        os.dup2(log, 2)
        status = 1
        try:
            if "code" in job:
                exec(job["code"], {"arguments": job["arguments"]})
            else:
                main(job["arguments"])
            status = 0
        except SystemExit as stop:
            status = stop.code
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    print(child, flush=True)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(status, flush=True)
"""


class Preloaded:
    """Starts runs, one at a time."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.server = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.server.stdout.readline() == "ready\n"

    def start(self, arguments, code=None) -> int:
        """Start a run of the command line, or of some code; give its process id."""
        job = {"arguments": [str(word) for word in arguments], "log": str(self.log)}
        job |= {} if code is None else {"code": code}
        self.server.stdin.write(json.dumps(job) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline())

    def wait(self) -> int:
        """Wait for the end of the run; negative if a signal ended it."""
        return int(self.server.stdout.readline())

    def run(self, arguments, code=None) -> int:
        """Run to the end."""
        self.start(arguments, code)
        return self.wait()

    def run_for(self, seconds: float, arguments) -> int:
        """Kill a run after some time, unless it ends before."""
        child = self.start(arguments)
        time.sleep(seconds)
        self.signal(child, signal.SIGKILL)
        return self.wait()

    def signal(self, child: int, number: int) -> None:
        """Send a signal to a run, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    @property
    def said(self) -> str:
        """What the last run wrote to the terminal."""
        return self.log.read_text()

    def stop(self) -> None:
        """End the process."""
        self.server.stdin.close()
        self.server.wait()
        self.server.stdout.close()
