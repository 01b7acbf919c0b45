#!/usr/bin/env bash
# Guess:   the best result of a Ray Tune search is one of the trials that ran to their end, as a study's best trial is in Optuna,
#          which leaves pruned ones out.
# Really:  Ray Tune 2.60.0 compares whatever each trial reported last, in every scope: a trial that ASHA stopped as too bad at its
#          first rung wins over one that went on, where the measure is lower at the end than on the way (here 5 at step 1 over 1 at 4).
# Matters: a measure with chance in it, as rewards of exploring episodes are, ends a search with a run that has no policy.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
export RAY_USAGE_STATS_ENABLED=0
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'ray[tune]==2.60.0' optuna==5.0.0 2> /dev/null
cat > search.py <<'PYTHON'
from importlib.metadata import version

import optuna
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler

REWARDS = {0: [10, 10, 10, 1], 1: [5, 5, 5, 5]}  # the first goes on for all four steps, the second is the worse one at the rung


class Trial(tune.Trainable):
    def setup(self, config):
        self.rewards = REWARDS[config["which"]]

    def step(self):
        return {"reward": self.rewards[self.iteration]}

    def save_checkpoint(self, folder):
        return None


ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
scheduler = ASHAScheduler(grace_period=1, max_t=4, reduction_factor=2)
config = tune.TuneConfig(metric="reward", mode="max", scheduler=scheduler, max_concurrent_trials=1)
results = tune.Tuner(Trial, param_space={"which": tune.grid_search([0, 1])}, tune_config=config).fit()
print("ray", version("ray"), "optuna", version("optuna"))
for result in results:
    print("trial", result.config["which"], "steps", result.metrics["training_iteration"], "last", result.metrics["reward"])
best = results.get_best_result()
print("Ray's best: trial", best.config["which"], "after", best.metrics["training_iteration"], "steps")


def objective(trial):
    rewards = REWARDS[trial.suggest_categorical("which", [0, 1])]
    for step, reward in enumerate(rewards):
        trial.report(reward, step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return rewards[-1]


optuna.logging.set_verbosity(optuna.logging.ERROR)
pruner = optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
study = optuna.create_study(direction="maximize", pruner=pruner)
for which in (0, 1):
    study.enqueue_trial({"which": which})
study.optimize(objective, n_trials=2)
print("Optuna's best: trial", study.best_params["which"], [trial.state.name for trial in study.trials])
PYTHON
HOME=$folder venv/bin/python search.py 2> errors.txt | grep -E "^(ray|trial|Ray's|Optuna's) " | tee printed.txt || { tail -5 errors.txt; exit 1; }
grep -q "^trial 0 steps 4 last 1$" printed.txt && grep -q "^trial 1 steps 1 last 5$" printed.txt &&
    grep -q "^Ray's best: trial 1 after 1 steps$" printed.txt && grep -q "^Optuna's best: trial 0" printed.txt || {
    echo "this has changed"
    exit 1
}
