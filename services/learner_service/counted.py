"""What a learner tells Prometheus, all of it from its start on.

A counter that begins with what it counts shows no increase in the first one, so that nothing here imports what learns.
"""

from prometheus_client import Counter, Gauge

from lwmecps_core.kinds import KINDS
from services.learner_service.jobs import End

FATES = ("made", "used", "dropped", "duplicates", "stale", "unfit", "abandoned", "leftover", "released")
ROLLOUT_EVENTS = ("damaged", "asked_again")
POLICY, HELD, RULE = "policy", "held", "rule"
"""By whose word autoscalers are told a size."""
LOST = "lost"
"""How this learner lets go of a run that another one owns by then."""

CLAIMED = Gauge("lwmecps_learner_runs", "Runs that this learner holds.", ["kind"])
STEPS = Counter("lwmecps_learner_steps_total", "Steps of training loops.", ["kind"])
ENDS = Counter("lwmecps_learner_run_ends_total", "How this learner let go of runs.", ["kind", "end"])
TRANSITIONS = Counter(
    "lwmecps_learner_transitions_total", "Transitions that reached this learner, by what became of them.", ["fate"]
)
EVENTS = Counter("lwmecps_learner_rollout_events_total", "Damaged entries and repeated requests.", ["event"])
LAG = Gauge("lwmecps_learner_lag_entries", "Rollout batches that wait unread in the stream of a run.", ["run_id"])
SIZES = Counter("lwmecps_scaler_sizes_total", "Sizes that were told to autoscalers, by whose word they were.", ["by"])

for _kind in KINDS:
    CLAIMED.labels(_kind)
    STEPS.labels(_kind)
    for _end in (*(end.value for end in End), LOST):
        ENDS.labels(_kind, _end)
for _fate in FATES:
    TRANSITIONS.labels(_fate)
for _event in ROLLOUT_EVENTS:
    EVENTS.labels(_event)
for _word in (POLICY, HELD, RULE):
    SIZES.labels(_word)
