"""`python -m kinema` is `kinema`."""

import sys

from kinema.apps.cli import main

sys.exit(main())
