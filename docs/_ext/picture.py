"""The picture of README.md and of the site's first page, made anew: python docs/_ext/picture.py

Wants playwright and a browser (ACCELSIM_BROWSER names one). The picture is the block diagram in the report of
`accelsim run rsnn28nm`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).parent.parent / "_static" / "report.png"
WIDTH, HEIGHT = 1000, 760


def main() -> None:
    """Run the chip, write its report, and save what a browser shows of its diagram."""
    with tempfile.TemporaryDirectory() as folder:
        for words in (["run", "rsnn28nm", "--out", folder], ["report", folder]):
            subprocess.run([sys.executable, "-m", "accelsim", *words], check=True, stdout=subprocess.DEVNULL)
        with sync_playwright() as tools:
            browser = tools.chromium.launch(executable_path=os.environ.get("ACCELSIM_BROWSER"), args=["--no-sandbox"])
            shown = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            shown.goto((Path(folder) / "report.html").as_uri())
            shown.locator("#diagram").screenshot(path=PICTURE)
            browser.close()


if __name__ == "__main__":
    main()
