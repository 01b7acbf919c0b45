"""Drive the services from Python: one day on a cluster, placed by a stored policy.

`python examples/client.py POLICY TASK.yaml` opens a session for the task in the env-service, asks the learner-service
for an action in every control interval, and prints what the cluster shows. TASK.yaml may hold a distribution.
"""

import sys
from pathlib import Path

import grpc
import numpy as np

from lwmecps_core.acting import REWARD_TERMS
from lwmecps_core.rollout.tensor_codec import tensor_from_proto, tensor_to_proto
from lwmecps_core.specs import TaskDistribution
from lwmecps_core.tasks.families import draw
from lwmecps_core.tasks.files import load_task
from protos.lwmecps.env.v1 import env_pb2
from protos.lwmecps.env.v1.env_pb2_grpc import EnvServiceStub
from protos.lwmecps.learner.v1 import learner_pb2
from protos.lwmecps.learner.v1.learner_pb2_grpc import LearnerServiceStub
from services.common import convert


def main(policy_id: str, file: str, env: str = "127.0.0.1:50052", learner: str = "127.0.0.1:50053") -> None:
    """Print one line per control interval."""
    task = load_task(Path(file))
    if isinstance(task, TaskDistribution):
        task = draw(task, seed=1)
    with grpc.insecure_channel(env) as env_channel, grpc.insecure_channel(learner) as learner_channel:
        envs, learners = EnvServiceStub(env_channel), LearnerServiceStub(learner_channel)
        session = envs.CreateSession(env_pb2.CreateSessionRequest(task=convert.task_to_message(task)))
        seen = envs.ResetSession(env_pb2.ResetSessionRequest(session_id=session.session_id)).transition
        before = {}  # what went before, for policies that remember
        for step in range(task.horizon):
            question = learner_pb2.ActRequest(
                policy_id=policy_id, observation=seen.observation, mask=seen.mask, env_spec=session.env_spec, **before
            )
            answer = learners.Act(question)
            seen = envs.StepSession(
                env_pb2.StepSessionRequest(session_id=session.session_id, action=answer.action, with_info=True)
            ).transition
            info = dict(zip(session.info_keys, tensor_from_proto(seen.info)[:, 0], strict=True))
            terms = tensor_to_proto(np.array([[info[key] for key in REWARD_TERMS]], np.float32))
            before = {"memory": answer.memory, "previous_action": answer.action, "reward_terms": terms}
            users, replicas, latency = info["users"], info["replicas"], info["latency_ms"]
            print(f"{step:3}  users {users:5.0f}  replicas {replicas:3.0f}  latency {latency:6.0f} ms")
        envs.CloseSession(env_pb2.CloseSessionRequest(session_id=session.session_id))


if __name__ == "__main__":
    main(*sys.argv[1:])
