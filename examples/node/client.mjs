// Drive the services from Node.js: register a way to draw tasks, start a run, watch it, and read its results.
//
//   make protos-image && cd examples/node && npm install
//   node client.mjs [registry=127.0.0.1:50051] [learner=127.0.0.1:50053] [protos=lwmecps.binpb]

import { readFileSync } from "node:fs";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const given = Object.fromEntries(process.argv.slice(2).map((text) => text.split(/=(.*)/s)));
const where = { registry: "127.0.0.1:50051", learner: "127.0.0.1:50053", protos: "lwmecps.binpb", ...given };

// Enums come as their names, 64-bit integers as numbers, and field names as the contracts have them.
const options = { keepCase: true, enums: String, longs: Number, defaults: true, oneofs: true };
const contracts = loader.loadFileDescriptorSetFromBuffer(readFileSync(where.protos), options);
const { lwmecps } = grpc.loadPackageDefinition(contracts);
const plain = grpc.credentials.createInsecure();
const registry = new lwmecps.registry.v1.TaskRegistryService(where.registry, plain);
const learner = new lwmecps.learner.v1.LearnerService(where.learner, plain);

/** The answer to a call with one answer. */
function call(service, method, request) {
  const deadline = new Date(Date.now() + 30_000);
  return new Promise((resolve, reject) => {
    service[method](request, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer)));
  });
}

async function main() {
  try {
    await call(registry, "CreateTask", { distribution: { nodes: 0 } });
  } catch (error) {
    console.log("refused:", grpc.status[error.code], error.details);
  }
  const distribution = { family: "FAMILY_MEC_CITY", nodes: 3, deployments: 3 };
  const { task } = await call(registry, "CreateTask", { distribution, name: "from-node" });
  console.log("task:", task.id, task.name);

  const wanted = { task_ids: [task.id], label: "from-node", settings: { total_episodes: 8 } };
  const { run } = await call(learner, "StartTraining", wanted);
  for await (const news of learner.WatchProgress({ run_id: run.id })) {
    console.log("run:", news.run.state, `${news.run.step}/${news.run.total_steps}`);
  }
  const { policies } = await call(registry, "ListPolicies", { run_id: run.id });
  for (const policy of policies) console.log("policy:", policy.id, policy.algorithm.algorithm);
}

main().then(
  () => [registry, learner].forEach((service) => service.close()),
  (error) => {
    console.error(`${grpc.status[error.code] ?? "error"}: ${error.details ?? error.message}`);
    process.exit(1);
  },
);
