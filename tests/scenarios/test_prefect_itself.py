"""An unmodified Prefect 1.4 with this server: its client registers and runs, its agent executes. Run with `--long`.

It needs a Python environment of its own, because its dependencies are of another time; one that is there already can be
named by PREFECT_1_PYTHON, the path of its `python`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.processes import serving

HERE = Path(__file__).parent
NEEDED = ["prefect==1.4.1", "marshmallow<4", "setuptools<81"]


@pytest.fixture(scope="module")
def prefect_python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a Python that has Prefect 1.4."""
    if given := os.environ.get("PREFECT_1_PYTHON"):
        return given
    if not request.config.getoption("--long"):
        pytest.skip("an environment for Prefect 1.4 is made with --long only")
    place = tmp_path_factory.mktemp("prefect")
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    subprocess.run([place / "bin" / "python", "-m", "pip", "install", "--quiet", *NEEDED], check=True)
    return str(place / "bin" / "python")


def test_register_run_retry_map_loop_cancel_and_restart(prefect_python: str, tmp_path: Path, free_port: int) -> None:
    for name in ("prefect_flows.py", "prefect_drive.py"):
        shutil.copy(HERE / name, tmp_path)
    switch = tmp_path / "switch"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {
        "PREFECT__BACKEND": "server",
        "PREFECT__CLOUD__API": f"http://127.0.0.1:{free_port}",
        "PREFECT__HOME_DIR": str(tmp_path / "home"),
        "PREFECT__CLOUD__CHECK_CANCELLATION_INTERVAL": "1",
        "PREFECT__CLOUD__LOGGING_HEARTBEAT": "1",
        "PYTHONWARNINGS": "ignore",
        "SWITCH": str(switch),
    }
    prefect = [prefect_python, "-m", "prefect"]
    with serving(port=free_port, cwd=tmp_path):
        subprocess.run([*prefect, "create", "project", "demo"], env=environment, check=True, stdout=subprocess.DEVNULL)
        command = [*prefect, "agent", "local", "start", "--no-hostname-label", "-l", "test"]
        with subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL) as agent:
            try:
                drive = [prefect_python, "prefect_drive.py", str(tmp_path / "prefect_flows.py"), str(switch)]
                done = subprocess.run(
                    drive, env=environment, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=240
                )
            finally:
                agent.send_signal(signal.SIGINT)
                agent.wait(20)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        **{"mapped": True, "looping": True, "slow": True, "broken": True, "log": 2},
        "mapped run": ["Success", ["Mapped", *["Success"] * 6]],
        "looping run": ["Success", ["Success"]],
        "cancelled": ["Cancelling", "Cancelled", ["Cancelled"]],
        "broken": "Failed",
        "restarted": ["Success", ["Success"]],
        "artifacts": [{"kind": "markdown"}],
    }
