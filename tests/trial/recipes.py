"""The README's recipes, carried out: what authors of an algorithm, a meta-learner and a backend do to the house.

Their new files lie under `added/`, where they would lie in the house; `EDITS` are the lines that they write into files
that are there. `carried_out` makes a house with all of it.
"""

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ADDED = HERE / "added"

CONFIG, CONTRACT = "lwmecps_core/run_config.py", "protos/lwmecps/common/v1/settings.proto"

Edits = dict[str, tuple[tuple[str, str], ...]]
"""File → (what is there, what the author writes before it)."""
EDITS: dict[str, Edits] = {
    "algorithm": {
        CONFIG: (
            (
                "AlgorithmConfig = Annotated[\n",
                '''@config
class ReinforceConfig(_WithNetworks):
    """REINFORCE (Williams 1992, Machine Learning 8, 229–256)."""

    name: Literal["reinforce"] = "reinforce"
    """Names the algorithm."""


''',
            ),
            ("PPOConfig | DQNConfig | ", "ReinforceConfig | "),
        ),
        "lwmecps_core/algorithms/__init__.py": (
            ("from lwmecps_core.algorithms.sac import", "from lwmecps_core.algorithms.reinforce import Reinforce\n"),
            ('    "sac": SAC,\n', '    "reinforce": Reinforce,\n'),
        ),
        CONTRACT: (
            ("    // Soft actor-critic", "    // REINFORCE (Williams 1992).\n    ReinforceConfig reinforce = 100;\n"),
            (
                "// Settings of soft actor-critic.\n",
                """// Settings of REINFORCE.
message ReinforceConfig {
  optional double learning_rate = 1 [(buf.validate.field).double.gt = 0];
  optional double discount_factor = 2 [(buf.validate.field).double = {
    gte: 0
    lte: 1
  }];
  optional uint32 batch_size = 3 [(buf.validate.field).uint32 = {
    gte: 1
    lte: 1000000
  }];
  optional double max_grad_norm = 4 [(buf.validate.field).double.gt = 0];
  repeated uint32 hidden_size = 5 [(buf.validate.field).repeated = {
    max_items: 16
    items: {
      uint32: {
        gte: 1
        lte: 4096
      }
    }
  }];
  Network network = 6 [(buf.validate.field).enum.defined_only = true];
  repeated Block ignore_blocks = 7 [(buf.validate.field).repeated = {
    max_items: 16
    items: {
      enum: {
        defined_only: true
        not_in: 0
      }
    }
  }];
  Context context = 8 [(buf.validate.field).enum = {
    defined_only: true
    not_in: [3, 5]
  }];
}

""",
            ),
        ),
    },
    "meta-learner": {
        CONFIG: (
            (
                "MetaLearnerConfig = Annotated[",
                '''@config
class LinearRuleConfig:
    """A learnt linear update rule."""

    name: Literal["linear_rule"] = "linear_rule"
    """Names the meta-learner."""
    rule_lr: Positive = 0.003
    """Step size of the outer optimiser on the weights of the rule."""


''',
            ),
            ("MAMLConfig | FOMAMLConfig | ", "LinearRuleConfig | "),
        ),
        "lwmecps_core/meta/__init__.py": (
            ("from lwmecps_core.meta.maml import", "from lwmecps_core.meta.linear_rule import LinearRule\n"),
            ('    "reptile": Reptile,\n', '    "linear_rule": LinearRule,\n'),
        ),
        CONTRACT: (
            (
                "    // Towards the adapted parameters.\n    ReptileConfig",
                "    // A learnt linear update rule.\n    LinearRuleConfig linear_rule = 100;\n",
            ),
            (
                "// Settings of Reptile",
                """// Settings of a learnt linear update rule.
message LinearRuleConfig {
  optional double rule_lr = 1 [(buf.validate.field).double.gt = 0];
}

""",
            ),
        ),
    },
    "cluster backend": {
        "protos/lwmecps/common/v1/backend.proto": (
            (
                "  // A real Kubernetes cluster,",
                "  // The simulator that writes down what it is asked.\n  BACKEND_LOGBOOK = 100;\n",
            ),
        ),
        "services/env_service/backends.py": (
            ('"kubernetes": _kubernetes', '"logbook": LogbookCluster, '),
            ("from lwmecps_core.errors import", "from lwmecps_core.cluster.logbook import LogbookCluster\n"),
        ),
        "services/learner_service/backends.py": (
            ('    "kubernetes": _in_sessions', '    "logbook": _in_sessions("logbook"),\n'),
        ),
    },
}
FILES: dict[str, tuple[str, ...]] = {
    "algorithm": ("lwmecps_core/algorithms/reinforce.py",),
    "meta-learner": ("lwmecps_core/meta/linear_rule.py",),
    "cluster backend": ("lwmecps_core/cluster/logbook.py", "tests/cluster/test_logbook.py"),
}
"""What each recipe adds; all of it lies under `added/`."""
MADE = ("scripts/generate_protos.py", "scripts/explain_settings.py")
"""What `make protos` runs."""
COPIED = (
    "lwmecps_core",
    "services",
    "protos",
    "scripts",
    "tests",
    "bench",
    "docs/cli.md",
    "pyproject.toml",
    "buf.yaml",
    "README.md",
)


def carried_out(house: Path) -> None:
    """A copy of this house at `house`, with all recipes carried out."""
    for name in COPIED:
        (house / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            unwanted = shutil.ignore_patterns("__pycache__", "trial", "results")
            shutil.copytree(ROOT / name, house / name, ignore=unwanted)
        else:
            shutil.copy(ROOT / name, house / name)
    shutil.copytree(ADDED, house, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for edits in EDITS.values():
        for name, places in edits.items():
            text = (house / name).read_text()
            for there, new in places:
                assert text.count(there) == 1, f"{name}: {text.count(there)} times {there!r}"
                text = text.replace(there, new + there)
            (house / name).write_text(text)
    for script in MADE:
        done = run(house, script)
        assert done.returncode == 0, done.stdout + done.stderr


def run(house: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in that house, with none of ours on its path."""
    environment = {"PYTHONPATH": str(house), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "HOME": str(house)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=house, env=environment, capture_output=True, text=True, check=False
    )
