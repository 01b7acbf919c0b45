"""Refusing settings that would do nothing: on the command line any, in a file those that are not the default."""

from collections.abc import Iterator, Mapping
from typing import Any

from lwmecps_core.config import dump
from lwmecps_core.errors import InvalidInput, Violation
from lwmecps_core.idle import TUNED, idle
from lwmecps_core.run_config import WARMUP_ONLY, MetaConfig


def refuse_idle(settings: Any, given: Mapping[str, Any], in_file: Mapping[str, Any], source: str, at: str = "") -> None:
    """Raise `InvalidInput` for what does nothing of `settings`, which come from options and from the part `at` of a
    file.
    """
    found = list(_named(dict(idle(settings)), given, _changed(settings, in_file), at))
    if found:
        raise InvalidInput(source, found)


def refuse_warmup_only(
    settings: Any, given: Mapping[str, Any], in_file: Mapping[str, Any], source: str, at: str
) -> None:
    """Raise `InvalidInput` for settings of an algorithm that would do nothing in a meta-training without a warm-up."""
    if not isinstance(settings, MetaConfig) or settings.warmup_epochs:
        return
    remedy = "acts in the warm-up only, and there is none: leave it out, or give --warmup-epochs"
    found = list(_named(dict.fromkeys(WARMUP_ONLY, remedy), given, in_file, at))
    if found:
        raise InvalidInput(source, found)


def refuse_calibration(baseline: str) -> None:
    """Raise `InvalidInput` where tasks are given that the baseline is not tuned on."""
    if baseline not in TUNED:
        who = baseline or "a policy"
        reason = f"is for {', '.join(TUNED)}, which are tuned on other tasks; {who} is not"
        raise InvalidInput("options", [Violation("--calibration-task", reason)])


def _named(
    reasons: Mapping[str, str], given: Mapping[str, Any], in_file: Mapping[str, Any], at: str
) -> Iterator[Violation]:
    for name, reason in reasons.items():
        if name in given:
            yield Violation("--" + name.replace("_", "-"), reason)
        elif name in in_file:
            yield Violation(f"{at}.{name}" if at else name, reason)


def _changed(settings: Any, in_file: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is the default: files of all settings say that, too."""
    usual, own = dump(type(settings)()), dump(settings)
    return {name: value for name, value in in_file.items() if own.get(name) != usual.get(name)}
