"""Tests run from a checkout, with nothing installed: python -m unittest discover -s tests -t .

With KEYROLL_TEST_INSTALLED they try the installed package instead.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_SOURCE = str(Path(__file__).resolve().parent.parent / "src")
if "KEYROLL_TEST_INSTALLED" not in os.environ and _SOURCE not in sys.path:
    sys.path.insert(0, _SOURCE)
