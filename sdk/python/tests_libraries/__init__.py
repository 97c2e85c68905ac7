"""Tests of the modules for other libraries, which requirements.txt names: from a checkout, in an environment with these."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))
