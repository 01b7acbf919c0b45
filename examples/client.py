"""Drive the services from Python: one day on a cluster, placed by a stored policy.

`python examples/client.py POLICY TASK` opens a session of the env-service for a registered task (`lwmecps task create
examples/testbed.yaml` registers one), asks the learner-service for an action in every control interval, and prints
what the cluster shows. It needs `services.client` and nothing else of lwmecps.
"""

import sys

from services.client import BadInput, CallFailed, Client


def main(policy_id: str, task_id: str, **addresses: str) -> None:
    """Print one line per control interval; `addresses` are those of `Client`, where they aren't the usual ones."""
    with Client("127.0.0.1", **addresses) as client:
        task = client.task(task_id)
        if not task.HasField("spec"):
            raise SystemExit(f"{task_id} is a way to draw tasks: give the id of a task")
        with client.session(task.spec) as session:
            shown = session.reset(seed=1)
            for step in range(task.spec.horizon):
                shown = session.step(session.act(policy_id))
                users, replicas, latency = (shown.info[key][0] for key in ("users", "replicas", "latency_ms"))
                print(f"{step:3}  users {users:5.0f}  replicas {replicas:3.0f}  latency {latency:6.0f} ms")
                if shown.over:
                    break


if __name__ == "__main__":
    places = dict(text.partition("=")[::2] for text in sys.argv[3:])
    if len(sys.argv) < 3 or not places.keys() <= {"registry", "env", "learner"}:
        raise SystemExit("usage: client.py POLICY TASK [registry=HOST:PORT] [env=HOST:PORT] [learner=HOST:PORT]")
    try:
        main(*sys.argv[1:3], **places)
    except BadInput as error:
        raise SystemExit("\n".join(f"{v.field}: {v.reason}" for v in error.violations) or str(error)) from None
    except CallFailed as error:
        raise SystemExit(str(error)) from None
