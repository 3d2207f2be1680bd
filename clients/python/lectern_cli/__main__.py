"""`python -m lectern_cli`, for where the command itself is not on the path."""

import sys

from lectern_cli.main import main

sys.exit(main())
