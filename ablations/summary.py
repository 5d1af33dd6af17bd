"""What the summary notebook shows, and the notebook itself run into a page for one study."""

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.display import Image, Markdown
    from jupyter_client.manager import AsyncKernelManager

from ablations.beside import tables_beside
from ablations.brief import brief
from ablations.checklists.tripod import tripod
from ablations.defaults import MARGIN
from ablations.figures import NEEDS, draw
from ablations.formats import bullets, markdown, write_result
from ablations.page import page
from ablations.remarks import remarks
from ablations.rows import read_study
from ablations.tables import ablation_table, panels
from ablations.verdict import verdict
from masll.common.escaping import for_markdown
from masll.common.storage import AnyPath
from tuning.study.folder import StudyFolder
from tuning.study.known import newest_study
from tuning.study.spec import Spec, read_spec

NOTEBOOK = Path(__file__).with_name("summary.ipynb")
_PARAMETERS = "parameters"  # the tag of the cell that names the study, as papermill has it
_FOR_THE_NOTEBOOK = "notebook"  # the tag of cells that the page has no use for


class Summary:
    """A study as a notebook shows it: Markdown and pictures, computed from the rows.

    Args:
        path: the study's folder; None is the newest one, see `newest_study`.
        prevalence: see `operating_points`.
        margin: of equivalence, see `effects`.
        by: how the test images are divided, such as `sex` or `age:50`.

    Raises:
        InputError: see `read_study` and `newest_study`.
    """

    def __init__(
        self,
        path: str | AnyPath | None = None,
        prevalence: float | None = None,
        margin: float = MARGIN,
        by: Sequence[str] = (),
    ) -> None:
        self.prevalence, self.margin = prevalence, margin
        self.study = read_study(path or newest_study(), search_predictions=False, by=by)
        self.table = ablation_table(self.study, margin)

    def brief(self) -> "Markdown":
        """What helped and what did not, one line a question, one line an arm."""
        return _markdown(brief(self.study, self.table, self.margin).as_markdown())

    def verdict(self) -> "Markdown":
        """The same in sentences."""
        return _markdown(bullets(verdict(self.study, self.table, self.margin)))

    def ablation(self) -> "Markdown":
        """The ablation table with what a reader has to know beside it."""
        parts = [markdown(part) for part in panels(self.table)]
        return _markdown("\n\n".join([*parts, *remarks(self.study)]))

    def beside(self) -> "Markdown":
        """The tables beside the ablation table, for which the study has rows."""
        parts = tables_beside(self.study, self.table, self.prevalence, self.margin)
        return _markdown("\n\n".join(part.as_markdown() for part in parts))

    def reporting(self) -> "Markdown":
        """What a paper has to say of the study; report/tripod.md has it, too."""
        checklist = tripod(self.study, self.table, self.margin)
        return _markdown(f"## {checklist.heading}\n\n{checklist.as_markdown(level=3)}")

    def subgroups(self) -> "list[Image | Markdown]":
        """The figure of subgroups, where the report is divided by any."""
        return self.figures(["subgroups"]) if self.study.by else []

    def figures(self, names: Sequence[str]) -> "list[Image | Markdown]":
        """Pictures by their names in `ablations.figures.FIGURES`; a word where there is none."""
        from IPython.display import Image

        shown: list[Image | Markdown] = []
        for name in names:
            figure = draw(name, self.study, self.table, self.margin)
            if figure is None:
                shown.append(_markdown(f"No figure *{name}*: it needs {NEEDS[name]}."))
                continue
            content = io.BytesIO()
            figure.savefig(content, format="png", dpi=150, bbox_inches="tight")
            inches = figure.get_figwidth()
            shown.append(Image(content.getvalue(), width=round(96 * inches), alt=name))
        return shown


def write_page(
    study: AnyPath,
    folder: AnyPath,
    prevalence: float | None = None,
    margin: float = MARGIN,
    by: Sequence[str] = (),
) -> list[AnyPath]:
    """Run the notebook on a study: summary.ipynb, and summary.html that needs no network.

    Args:
        study: its folder.
        folder: where both go.
        prevalence: see `operating_points`.
        margin: of equivalence, see `effects`.
        by: how the test images are divided, see `Summary`.
    """
    import nbclient
    import nbformat
    from jupyter_client.kernelspec import NATIVE_KERNEL_NAME
    from nbconvert import HTMLExporter
    from traitlets.config import Config

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in notebook.cells:
        if _PARAMETERS in cell.metadata.get("tags", []):
            values: dict[str, Any] = {"STUDY": str(study.resolve())}
            values |= {"PREVALENCE": prevalence, "MARGIN": margin, "BY": tuple(by)}
            cell.source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    # Sockets of this machine's file system: nothing listens on a port.
    sockets = Config({"AsyncKernelManager": {"transport": "ipc"}})
    client = nbclient.NotebookClient(
        notebook,
        kernel_name=NATIVE_KERNEL_NAME,
        timeout=600,
        config=sockets,
        kernel_manager_class=_this_python(),
    )
    client.execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":  # libraries warn on stderr of what a reader cannot change
            cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
    left_out = {"enabled": True, "remove_cell_tags": {_FOR_THE_NOTEBOOK}}
    exporter = HTMLExporter(
        config=Config({"TagRemovePreprocessor": left_out}),
        template_name="basic",
        exclude_input=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    body, _ = exporter.from_notebook_node(notebook)
    folder_of_study = StudyFolder(study)
    spec = read_spec(folder_of_study) if folder_of_study.spec.exists() else Spec()
    text = page(study.resolve().name, spec, body, datetime.now(UTC).date())
    return [
        write_result(folder / "summary.ipynb", nbformat.writes(notebook) + "\n"),
        write_result(folder / "summary.html", text),
    ]


def _this_python() -> "type[AsyncKernelManager]":
    """Kernels of this interpreter, whatever the kernel folders of the machine name python3."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from traitlets import default

    class ThisPython(AsyncKernelManager):
        @default("kernel_spec_manager")
        def _native_only(self) -> KernelSpecManager:
            return KernelSpecManager(kernel_dirs=[])

    return ThisPython


def _markdown(text: str) -> "Markdown":
    from IPython.display import Markdown

    return Markdown(for_markdown(text))
