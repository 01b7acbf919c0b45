"""Before anything imports PyTorch: tests run on one thread, as the services do (`services/*/__main__.py`).

Which thread calls may otherwise change the last bits of a matrix product, and small tensors take longer on several.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
