"""A report is made of files beside the modules, and of plotly's script where the extra `report` is installed."""

from importlib.util import find_spec
from pathlib import Path

from rebyte_async.batch import report

_FOLDER = Path(report.__file__).parent
datas = [(str(_FOLDER / name), "rebyte_async/batch/report") for name in ("page.css", "page.html", "page.js")]
hiddenimports = ["plotly.offline"] if find_spec("plotly") else []
