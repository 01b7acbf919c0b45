BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0004');
CREATE TABLE checkpoints (
	seq INTEGER NOT NULL, 
	id VARCHAR(255) NOT NULL, 
	run_id VARCHAR(255) NOT NULL, 
	step BIGINT NOT NULL, 
	token BIGINT NOT NULL, 
	artefact_key VARCHAR(255) NOT NULL, 
	artefact_size_bytes BIGINT NOT NULL, 
	artefact_sha256 VARCHAR(255) NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (seq), 
	UNIQUE (id), 
	FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);
INSERT INTO "checkpoints" VALUES(1,'checkpoint-aacb916f331c0254','run-db666f3e771aed5c',3,1,'checkpoints/run-db666f3e771aed5c/checkpoint-aacb916f331c0254',20,'2208522ea416447ca9de03f417061026ff380bddd3f9290c9d31f53f37a8cb35','2026-01-01 00:00:00.000000');
INSERT INTO "checkpoints" VALUES(2,'checkpoint-80643675f2e0574c','run-ada87ee1fa1cb1db',1,1,'checkpoints/run-ada87ee1fa1cb1db/checkpoint-80643675f2e0574c',20,'a6cfd0fea920bd3bc7f7756bb986f5e03eae6873cec10fcd0397dd00c08c599f','2026-01-01 00:00:00.000000');
CREATE TABLE idempotency_keys (
	scope VARCHAR(255) NOT NULL, 
	request_id VARCHAR(255) NOT NULL, 
	digest VARCHAR(255) NOT NULL, 
	resource_id VARCHAR(255) NOT NULL, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (scope, request_id)
);
INSERT INTO "idempotency_keys" VALUES('run','r-1','a1815d5dc8b843efa54590a11517941f','run-db666f3e771aed5c','2026-01-01 00:00:00.000000');
INSERT INTO "idempotency_keys" VALUES('policy','p-1','7d150ba60b5bbc097bfc050c21cbfd89','policy-12ff396ea5a564a9','2026-01-01 00:00:00.000000');
INSERT INTO "idempotency_keys" VALUES('run','r-2','abca82e3556d601aa041b41889446785','run-ada87ee1fa1cb1db','2026-01-01 00:00:00.000000');
INSERT INTO "idempotency_keys" VALUES('run','r-3','7690aacb9a5abe8d4aad6c569048a4b5','run-588a3b133ea00690','2026-01-01 00:00:00.000000');
CREATE TABLE memories (
	seq INTEGER NOT NULL, 
	task_id VARCHAR(255) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	content BLOB NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	etag VARCHAR(255) NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	PRIMARY KEY (seq), 
	CONSTRAINT memories_by_name UNIQUE (task_id, name), 
	FOREIGN KEY(task_id) REFERENCES tasks (id) ON DELETE CASCADE
);
INSERT INTO "memories" VALUES(1,'task-80b6dc6c4ffd1c8f','edge',X'77686174206973206B6E6F776E',13,'7633ba80f4775e292ab5cca3b4bfe1a7','2026-01-01 00:00:00.000000','2026-01-01 00:00:00.000000');
CREATE TABLE metrics (
	run_id VARCHAR(255) NOT NULL, 
	step BIGINT NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	value DOUBLE, 
	time DATETIME NOT NULL, 
	revision BIGINT NOT NULL, 
	PRIMARY KEY (run_id, step, name), 
	FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);
INSERT INTO "metrics" VALUES('run-db666f3e771aed5c',4,'total_reward',-12.5,'2026-01-01 00:00:00.000000',3);
INSERT INTO "metrics" VALUES('run-db666f3e771aed5c',4,'actor_loss',NULL,'2026-01-01 00:00:00.000000',3);
CREATE TABLE policies (
	seq INTEGER NOT NULL, 
	id VARCHAR(255) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	run_id VARCHAR(255) NOT NULL, 
	algorithm JSON NOT NULL, 
	env_spec JSON NOT NULL, 
	labels JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	etag VARCHAR(255) NOT NULL, 
	artefact_key VARCHAR(255), 
	artefact_size_bytes BIGINT, 
	artefact_sha256 VARCHAR(255), 
	PRIMARY KEY (seq), 
	UNIQUE (id)
);
INSERT INTO "policies" VALUES(1,'policy-12ff396ea5a564a9','city','run-db666f3e771aed5c','{"learning_rate": 0.0003, "discount_factor": 0.99, "ignore_blocks": [], "context": "none", "batch_size": 256, "max_grad_norm": 0.5, "hidden_size": [4], "network": "mlp", "name": "ppo", "gae_lambda": 0.95, "clip_epsilon": 0.2, "entropy_coef": 0.01, "value_function_coef": 0.5, "n_steps": 0, "n_epochs": 4}','{"env_id": "lwmecps-v3", "blocks": [["global", [5]], ["deployment", [1, 11]], ["objective", [6]], ["limits", [1, 2]]], "nvec": [9], "action_size": 1, "horizon": 120, "action_entity": "deployment"}','{}','2026-01-01 00:00:00.000000','2','policies/policy-12ff396ea5a564a9/weights-06d4a1c5eb7116ae.safetensors',2192,'dc71df9bf1e4b927f1e4eb4d534d2f6641bc52469bce56eef134c71dc2c27bae');
CREATE TABLE "result_rows" (
	run_id VARCHAR(255) NOT NULL, 
	task VARCHAR(255) NOT NULL, 
	method VARCHAR(255) NOT NULL, 
	inner_steps BIGINT NOT NULL, 
	episode BIGINT NOT NULL, 
	position BIGINT NOT NULL, 
	figures JSON NOT NULL, 
	revision BIGINT NOT NULL, 
	PRIMARY KEY (run_id, task, method, inner_steps, episode), 
	FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);
INSERT INTO "result_rows" VALUES('run-db666f3e771aed5c','city','train',0,1,0,'{"reward": -12.5, "latency_mean_ms": 80.0, "latency_p95_ms": 120.0, "replicas_mean": 3.0, "sla_miss_share": 0.01, "moves_mean": 0.5, "load_correlation": 0.9, "env_steps": 120, "wall_s": 1.5}',3);
CREATE TABLE run_tasks (
	run_id VARCHAR(255) NOT NULL, 
	task_id VARCHAR(255) NOT NULL, 
	PRIMARY KEY (run_id, task_id), 
	FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);
INSERT INTO "run_tasks" VALUES('run-db666f3e771aed5c','task-80b6dc6c4ffd1c8f');
INSERT INTO "run_tasks" VALUES('run-ada87ee1fa1cb1db','task-80b6dc6c4ffd1c8f');
INSERT INTO "run_tasks" VALUES('run-588a3b133ea00690','task-663948118ad378df');
CREATE TABLE runs (
	seq INTEGER NOT NULL, 
	id VARCHAR(255) NOT NULL, 
	kind VARCHAR(255) NOT NULL, 
	spec JSON NOT NULL, 
	labels JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	etag VARCHAR(255) NOT NULL, 
	state VARCHAR(255) NOT NULL, 
	desired_state VARCHAR(255) NOT NULL, 
	step BIGINT NOT NULL, 
	total_steps BIGINT NOT NULL, 
	owner VARCHAR(255) NOT NULL, 
	token BIGINT NOT NULL, 
	lease_expires_at DATETIME, 
	started_at DATETIME, 
	finished_at DATETIME, 
	error TEXT NOT NULL, 
	result_policy_id VARCHAR(255) NOT NULL, 
	wandb_run_id VARCHAR(255) NOT NULL, 
	revision BIGINT NOT NULL, 
	latest_metrics JSON NOT NULL, 
	PRIMARY KEY (seq), 
	UNIQUE (id)
);
INSERT INTO "runs" VALUES(1,'run-db666f3e771aed5c','train','{"settings": {"schedule": "constant", "schedule_share": 0.3, "total_episodes": null, "episodes_per_batch": 4, "tasks_per_batch": 1, "collections_per_task": 1, "independent": false, "evaluation_episodes": 0}, "task_ids": ["task-80b6dc6c4ffd1c8f"], "label": "", "num_tasks": 0, "task_seed": 0, "calibration_task_ids": [], "source_task_ids": [], "policy_id": "", "seed": 1, "algorithm": null, "kind": "train"}','{"team": "edge"}','2026-01-01 00:00:00.000000','2026-01-01 00:00:00.000000','3','completed','running',4,4,'',1,NULL,'2026-01-01 00:00:00.000000','2026-01-01 00:00:00.000000','','policy-12ff396ea5a564a9','',5,'{"total_reward": -12.5, "actor_loss": "nan"}');
INSERT INTO "runs" VALUES(2,'run-ada87ee1fa1cb1db','train','{"settings": {"schedule": "constant", "schedule_share": 0.3, "total_episodes": null, "episodes_per_batch": 4, "tasks_per_batch": 1, "collections_per_task": 1, "independent": false, "evaluation_episodes": 0}, "task_ids": ["task-80b6dc6c4ffd1c8f"], "label": "", "num_tasks": 0, "task_seed": 0, "calibration_task_ids": [], "source_task_ids": [], "policy_id": "", "seed": 2, "algorithm": null, "kind": "train"}','{}','2026-01-01 00:00:00.000000','2026-01-01 00:00:00.000000','3','paused','running',1,4,'',1,NULL,'2026-01-01 00:00:00.000000',NULL,'','','',5,'{}');
INSERT INTO "runs" VALUES(3,'run-588a3b133ea00690','train','{"settings": {"schedule": "constant", "schedule_share": 0.3, "total_episodes": null, "episodes_per_batch": 4, "tasks_per_batch": 1, "collections_per_task": 1, "independent": false, "evaluation_episodes": 0}, "task_ids": ["task-663948118ad378df"], "label": "", "num_tasks": 3, "task_seed": 0, "calibration_task_ids": [], "source_task_ids": [], "policy_id": "", "seed": 1, "algorithm": null, "kind": "train"}','{}','2026-01-01 00:00:00.000000','2026-01-01 00:00:00.000000','1','pending','running',0,0,'',0,NULL,NULL,NULL,'','','',1,'{}');
CREATE TABLE tasks (
	seq INTEGER NOT NULL, 
	id VARCHAR(255) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	kind VARCHAR(255) NOT NULL, 
	family VARCHAR(255) NOT NULL, 
	spec JSON NOT NULL, 
	labels JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	etag VARCHAR(255) NOT NULL, 
	PRIMARY KEY (seq), 
	UNIQUE (id)
);
INSERT INTO "tasks" VALUES(1,'task-80b6dc6c4ffd1c8f','city','task','','{"name": "city", "env_id": "lwmecps-v3", "cluster": {"nodes": [{"name": "a", "cpu_millicores": 4000.0, "ram_mib": 8192.0, "tx_mbps": 1000.0, "rx_mbps": 1000.0, "access_latency_ms": 2.0}], "rtt_ms": [[0.0]]}, "deployments": [{"name": "web", "cpu_millicores": 500.0, "ram_mib": 256.0, "tx_mbps": 0.0, "rx_mbps": 0.0, "cpu_time_ms": 50.0, "cpu_time_cv": 1.0, "concurrency": 1, "startup_s": 5.0, "timeout_ms": 1000.0, "max_replicas": 8, "initial_replicas": 1, "allowed_nodes": []}], "workload": {"pattern": "diurnal", "base_users": [10.0], "amplitude": 0.6, "period_s": 86400.0, "phase": [], "recorded_users": [], "recorded_step_s": 10.0, "resample": "mean", "request_interval_s": 10.0, "arrivals": "poisson", "noise": 0.1, "share": [[1.0]], "failover": [], "speedup": 1.0, "random_start": true}, "objective": {"latency": 1.0, "replicas": 0.5, "imbalance": 0.1, "sla": 1.0, "moves": 0.01, "target_latency_ms": 100.0}, "horizon": 120, "interval_s": 10.0, "episodes": null, "routing": "cluster", "latency_model": "queue", "family": "", "kubernetes": null}','{"who": "alice"}','2026-01-01 00:00:00.000000','1');
INSERT INTO "tasks" VALUES(2,'task-663948118ad378df','cities','distribution','mec_city','{"family": "mec_city", "env_id": "lwmecps-v3", "nodes": 2, "deployments": 2, "max_replicas": 8, "horizon": 120, "recorded_users": [], "recorded_step_s": 10.0, "resample": "mean", "recorded_request_interval_s": null, "recorded_failover": [], "max_pods": null, "cpu_requirement": null, "memory_requirement": null, "traffic_pattern": null, "latency_threshold": null, "optimization_target": null, "constraint_weight": null}','{}','2026-01-01 00:00:00.000000','1');
CREATE TABLE traces (
	run_id VARCHAR(255) NOT NULL, 
	step BIGINT NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	"values" BLOB NOT NULL, 
	PRIMARY KEY (run_id, step, name), 
	FOREIGN KEY(run_id) REFERENCES runs (id) ON DELETE CASCADE
);
INSERT INTO "traces" VALUES('run-db666f3e771aed5c',4,'reward',X'000000000000F0BF00000000000000C0');
CREATE INDEX ix_tasks_name ON tasks (name);
CREATE INDEX ix_tasks_family ON tasks (family);
CREATE INDEX ix_runs_state ON runs (state);
CREATE INDEX ix_run_tasks_task_id ON run_tasks (task_id);
CREATE INDEX metrics_by_revision ON metrics (run_id, revision);
CREATE INDEX ix_policies_run_id ON policies (run_id);
CREATE INDEX ix_policies_name ON policies (name);
CREATE INDEX ix_checkpoints_run_id ON checkpoints (run_id);
CREATE INDEX ix_memories_task_id ON memories (task_id);
CREATE INDEX result_rows_by_revision ON result_rows (run_id, revision);
COMMIT;
