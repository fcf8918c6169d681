"""What every image starts: the first process of a container, and the last that it needs.

No more than a way to the compiled module beside it. The standard library alone, Python 3.9 and on.
"""

import sys

sys.path.append(__file__.rpartition("/")[0])

from sandboxes.entry.serving import main

main()
