"""Runs the notebook on this very Python; `python -m tests.docs.notebook` stores what it shows."""

import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import mirt_sitniks

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "examples" / "sitniks_sync.ipynb"
# What differs from run to run, and what is stored in its place.
CHANGING = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"), "2026-01-10T09:00:00.000Z"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "http://127.0.0.1:8765"),
    (re.compile(r"\b[0-9a-f]{24}\b"), "65a0c0de0000000000000001"),
)


def read() -> Any:
    """The notebook as it is stored."""
    import nbformat

    return nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]


def execute(folder: Path) -> Any:
    """The notebook after a run of all its cells in `folder`, where a copy of the examples is made.

    No kernel has to be installed, and nothing of the user's Jupyter or of the environment's settings is read.
    """
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    class ThisPython(AsyncKernelManager):
        """A kernel that is the running interpreter."""

        @property
        def kernel_spec(self) -> KernelSpec:
            """How it is started."""
            return KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"])

    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    # The package that is under test here is the kernel's, too: the wheel's, or the checkout's.
    package = str(Path(mirt_sitniks.__file__).parents[1])
    env = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "IPYTHON"))}
    env |= {"PYTHONPATH": package, "IPYTHONDIR": str(folder), "HOME": str(folder), "LANGSMITH_TRACING": "false"}
    notebook = read()
    client = NotebookClient(
        notebook,
        timeout=120,
        kernel_manager_class=ThisPython,
        resources={"metadata": {"path": str(folder / "examples")}},
    )
    client.execute(env=env)
    return notebook


def outputs(cell: Any) -> list[dict[str, Any]]:
    """A cell's outputs without numbers of execution, and with fixed times and ports; neighbouring texts joined."""
    kept: list[dict[str, Any]] = []
    for output in cell.get("outputs", []):
        if output.get("name") == "stderr":
            continue  # Libraries warn of each other, each version in its own way.
        if output["output_type"] == "stream":
            text = steady(output["text"])
            if kept and kept[-1].get("name") == output["name"]:
                kept[-1]["text"] += text
            else:
                kept.append({"output_type": "stream", "name": output["name"], "text": text})
        elif output["output_type"] == "error":
            kept.append({"output_type": "error", "ename": output["ename"], "evalue": output["evalue"]})
        else:
            data = {kind: steady(value) for kind, value in output["data"].items()}
            kept.append({"output_type": "display_data", "data": data, "metadata": {}})
    return kept


def steady(text: str) -> str:
    """The text with everything replaced that differs from run to run."""
    for changing, instead in CHANGING:
        text = changing.sub(instead, text)
    return text


def store() -> None:
    """Run the notebook and write its outputs into it."""
    import nbformat

    with tempfile.TemporaryDirectory() as folder:
        notebook = execute(Path(folder))
    number = 0
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            number += 1
            cell.execution_count = number
            cell.outputs = [nbformat.from_dict(one) for one in outputs(cell)]  # type: ignore[no-untyped-call]
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, NOTEBOOK)  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    store()
