"""`docs/benchmark.json`, and `docs/benchmark.md` with its pictures, which are made from it and nothing else."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.placement import plots, shortfalls
from bench.placement.bars import WHERE, bars
from bench.placement.results import Results, added
from bench.placement.settings import HIDDEN, MANY, META_METHODS
from bench.placement.view import HEADLINE, ORACLE, STATIC, TUNED, UNTRAINED, Figures, ResultView

METHODS: tuple[tuple[str, str], ...] = (
    (
        "oracle",
        "searches every episode's best plan with all hidden quantities and the users to come known: an upper "
        "bound, no rival",
    ),
    (
        "random, uniform, static, greedy_*, optimized_balance",
        "rules without learning; `static` leaves replicas as they were deployed",
    ),
    (
        "hpa, hpa_calibrated, hpa_tuned",
        "the Kubernetes autoscaler as it is by default (`docs/hpa.md`), its documented formula tuned on training "
        "tasks of the family, and that with the target that earned most in 14 episodes on the very task",
    ),
    (
        "rate_rule, rate_rule_adapted",
        "replicas in proportion to requests and what one costs, tuned on training tasks of the family, and by 12 "
        "episodes on the very task",
    ),
    ("untrained_ppo", "random weights as they are, mean over 8 draws of them for each seed"),
    (
        "random_weights_ppo",
        "one draw of random weights, and the inner steps of `meta_ppo_maml` from there, its learnt rates included",
    ),
    (
        "ppo/dqn/sac/td3_100_episodes",
        "the base algorithm from nothing on the held-out task itself, 100 episodes "
        "(`td3` on lwmecps-v3's continuous twin: same clusters, same episodes), with a rate that "
        "is let down over all steps and settings from trials of each (decision 0004)",
    ),
    (
        "q_learning_100_episodes (v1)",
        "likewise, tabular, which fits lwmecps-v1 only: there one deployment is scaled "
        "by one replica at a time, so its rewards stand beside those of the rules marked (v1), not beside the others",
    ),
    (
        "multi_task_*",
        "one policy trained on tasks of the family, used as it is; the start of all meta-training with "
        "the same algorithm. `multi_task_ppo_equal_data` goes on until it has had as many episodes as `meta_ppo_maml`",
    ),
    ("multi_task_ppo_fine_tuned", "`multi_task_ppo`, then plain PPO on the held-out task"),
    (
        "meta_ALGORITHM_METHOD",
        "meta-trained from `multi_task_ALGORITHM` on, then 0 to 5 inner steps of 4 episodes on "
        "the held-out task; `imaml` is implicit MAML. A task on which that costs too much beside `static` is left as "
        "it was deployed, at the latest at the end, when the best of adapted policy, start and `static` is kept",
    ),
    (
        "meta_ppo_maml_one_episode",
        "the same with 1 episode for each of 2 inner steps, 1 that changes nothing, 1 of the start without chance and "
        "1 for the last check: 5 episodes in all",
    ),
    (
        "source, transfer_*",
        "PPO trained on one other task of the family, as it is, and after 20 episodes of each type "
        "of transfer to the held-out task",
    ),
)
SPREAD = "seeds: sd"
COLUMNS = (
    "method",
    "steps",
    "reward",
    SPREAD,
    "gain on own start",
    "gap closed",
    "from hpa_tuned",
    "latency ms",
    "p95 ms",
    "replicas",
    "SLA miss",
    "moves",
    "load corr.",
    "support reward",
    "env steps",
    "s",
    "training env steps",
    "training s",
)


def write(results: Results, docs: Path) -> None:
    """Add to the result file under `docs`, and make the pictures and the page about it anew."""
    docs.mkdir(parents=True, exist_ok=True)
    file = docs / "benchmark.json"
    results = json.loads(json.dumps(results | {k: _rounded(results[k]) for k in ("rows", "job_seconds")}))
    results = added(json.loads(file.read_text()) if file.is_file() else None, results)
    file.write_text(_json(results))
    view = ResultView(results["rows"])
    plots.draw_all(view, docs / "benchmark")
    (docs / "benchmark.md").write_text("\n".join(_page(results, view)) + "\n")


def _json(results: Results) -> str:
    """One line for each row, so that files can be compared."""
    rows = ",\n".join("  " + json.dumps(row) for row in results["rows"])
    rest = json.dumps({k: v for k, v in results.items() if k != "rows"}, indent=1)
    return rest[:-2] + f',\n "rows": [\n{rows}\n ]\n}}\n'


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    return [_rounded(v) for v in value] if isinstance(value, list) else value


def _page(results: Results, view: ResultView) -> Iterator[str]:
    settings = results["settings"]
    adaptation, frugal = settings["adaptation"], settings["frugal"]
    yield "# The placement benchmark\n"
    yield (
        "Made by `make benchmark` from [benchmark.json](benchmark.json); do not edit. Every method is measured on the "
        f"same {settings['evaluation_episodes']} episodes of the same {settings['tasks']} held-out tasks of each "
        f"family (lwmecps-v3, 4 nodes, 4 deployments, 120 control intervals; task seeds from "
        f"{results['seeds']['first_held_out_task']} on), acting without chance. Settings were tried on tasks of other "
        f"seeds. What PPO learns from other tasks has several training seeds (`{SPREAD}` says how many): its intervals "
        "are over seeds and tasks, which are both drawn again (pigeonhole bootstrap), and differences are paired over "
        "both. What learns from nothing on a held-out task draws its own random numbers on each. DQN, SAC and TD3 on "
        "many tasks have one seed: their intervals are over tasks and say nothing about how much another training run "
        "would differ.\n"
    )
    yield (
        f"Inner steps take {adaptation['episodes_per_step']} episodes each "
        f"(`{HEADLINE}_one_episode`: {frugal['episodes_per_step']}); rewards are per episode, higher is better. "
        f"Networks are small (two layers of {HIDDEN[0]}) and training short: multi-task training has "
        f"{settings['multi_task']['total_episodes']:,} episodes, meta-training after it {settings['meta_epochs']} "
        f"epochs of {settings['meta']['meta_batch_size']} tasks. All jobs took {_minutes(results):.0f} minutes "
        "of wall time; wall times below depend on what else the machine did. Done at these commits: "
        f"{', '.join(dict.fromkeys(row['commit'] for row in results['rows']))}.\n"
    )
    yield "| method | what it is |\n| --- | --- |"
    for name, text in METHODS:
        yield f"| {name} | {text} |"
    yield "\n## Bars\n"
    yield "Differences are paired over tasks and, where both have several, training seeds, ± 95 % interval.\n"
    if (low := view.last(WHERE, UNTRAINED)) and (static := view.last(WHERE, STATIC)):
        yield (
            f"On {WHERE} the untrained policy earns {low['reward_mean']:.2f} with {low['replicas_mean']:.1f} replicas "
            f"and {low['sla_miss_share']:.0%} of requests missed; `static` earns {static['reward_mean']:.2f} with "
            f"{static['replicas_mean']:.1f} and {static['sla_miss_share']:.0%}. A gap from so low is easily closed, so "
            "the demo's measure stands beside it, whose lower end is random weights that took the same inner steps.\n"
        )
    yield "| bar | | figure | met |\n| --- | --- | --- | --- |"
    for bar in bars(view):
        yield f"| {bar.number} | {bar.demand} | {bar.figure} | {'yes' if bar.met else '**no**'} |"
    yield f"\n{_left_alone(view)}"
    yield from shortfalls.section(results, view)
    yield "\n## Pictures\n"
    for name, text in (
        ("reward", "What each method comes to."),
        ("adaptation", "Inner steps, one by one."),
        ("gains", "What adapting gains over not adapting, for each meta-learner and type of transfer."),
        ("support", "What it costs meanwhile."),
    ):
        yield f"{text}\n\n![{text}](benchmark/{name}.png)\n"
    yield from _overview(view)
    for family in view.families:
        yield from _table(view, family)


def _left_alone(view: ResultView) -> str:
    """How often meta-learners ended with the placement as it was, by algorithm."""
    shares = []
    for algorithm in MANY:
        methods = [f"meta_{algorithm}_{method}" for method in META_METHODS]
        marks = [
            mark for family in view.families for method in methods for mark in view.left_alone(family, method).flat
        ]
        if marks:
            shares.append(f"{algorithm} {sum(marks) / len(marks):.0%}")
    return f"Tasks that meta-learners left as they were deployed in the end: {', '.join(shares) or 'none measured'}."


def _overview(view: ResultView) -> Iterator[str]:
    yield "## Reward by family\n"
    yield "After all steps; mean ± 95 % interval. The tables below have everything else.\n"
    yield "| method | " + " | ".join(view.families) + " |"
    yield "| --- |" + " ---: |" * len(view.families)
    for method in view.methods:
        cells = [_reward(row) if (row := view.last(family, method)) else "" for family in view.families]
        yield f"| {method} | " + " | ".join(cells) + " |"


def _table(view: ResultView, family: str) -> Iterator[str]:
    yield f"\n## {family}\n"
    yield (
        "`gain` is the paired difference to the same method before its first step (* excludes 0); `gap closed` is "
        f"0 % for `{UNTRAINED}` and 100 % for `{ORACLE}`, `from hpa_tuned` likewise 0 % for `{TUNED}`; `support "
        "reward` is the mean over the episodes that were "
        "played on the held-out task so far in order to learn; `env steps` and `s` are data and time per held-out "
        "task, `training …` those spent on other tasks before.\n"
    )
    yield "| " + " | ".join(COLUMNS) + " |"
    yield "| --- |" + " ---: |" * (len(COLUMNS) - 1)
    for method in view.methods:
        for row in view.steps(family, method):
            yield "| " + " | ".join(_cells(view, row)) + " |"


def _cells(view: ResultView, row: Figures) -> list[str]:
    gain, support, shares = view.gain(row), row["support_mean"], (view.share(row), view.share(row, TUNED))
    of_seeds = row["task_rewards"].mean(1)
    return [
        row["method"],
        str(row["inner_steps"]),
        _reward(row),
        f"{of_seeds.std(ddof=1):.2f} ({len(of_seeds)})" if len(of_seeds) > 1 else "",
        "" if gain is None else f"{gain.mean:+.2f} ± {gain.ci95:.2f}{'*' * gain.excludes_zero}",
        *("" if share is None or row["method"].endswith("(v1)") else f"{share:.0%}" for share in shares),
        f"{row['latency_mean_ms']:.0f}",
        f"{row['latency_p95_ms']:.0f}",
        f"{row['replicas_mean']:.1f}",
        f"{row['sla_miss_share']:.1%}",
        f"{row['moves_mean']:.2f}",
        f"{row['load_correlation']:.2f}",
        "" if support is None else f"{support:.2f} ± {row['support_ci95']:.2f}",
        f"{row['env_steps']:,.0f}",
        f"{row['wall_s']:.2f}",
        f"{row['training_env_steps']:,.0f}" if row["training_env_steps"] else "",
        f"{row['training_wall_s']:.0f}" if row["training_wall_s"] else "",
    ]


def _reward(row: Figures) -> str:
    return f"{row['reward_mean']:.2f} ± {row['reward_ci95']:.2f}"


def _minutes(results: Results) -> float:
    return sum(results["job_seconds"].values()) / 60
