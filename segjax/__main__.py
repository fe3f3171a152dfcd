"""`python -m segjax` is the command `segjax`."""

import sys

from segjax.cli import main

sys.exit(main())
