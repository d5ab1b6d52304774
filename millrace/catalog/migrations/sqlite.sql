-- Written by `python -m scripts.generate`: a catalog of schema 0001;

CREATE TABLE access_grant (
	actor TEXT NOT NULL,
	workspace TEXT NOT NULL,
	role TEXT NOT NULL,
	CONSTRAINT pk_access_grant PRIMARY KEY (actor, workspace, role)
);

CREATE TABLE actor (
	name TEXT NOT NULL,
	kind TEXT NOT NULL,
	owner TEXT,
	made BIGINT NOT NULL,
	CONSTRAINT pk_actor PRIMARY KEY (name)
);

CREATE TABLE card (
	workspace TEXT NOT NULL,
	model TEXT NOT NULL,
	number BIGINT NOT NULL,
	edition BIGINT NOT NULL,
	spec TEXT NOT NULL,
	CONSTRAINT pk_card PRIMARY KEY (workspace, model, number, edition)
);

CREATE TABLE cursor (
	workspace TEXT NOT NULL,
	follower TEXT NOT NULL,
	number BIGINT NOT NULL,
	CONSTRAINT pk_cursor PRIMARY KEY (workspace, follower)
);

CREATE TABLE dataset (
	workspace TEXT NOT NULL,
	name TEXT NOT NULL,
	"key" TEXT NOT NULL,
	event TEXT NOT NULL,
	arrived TEXT NOT NULL,
	columns TEXT NOT NULL,
	made BIGINT NOT NULL,
	latest BIGINT NOT NULL,
	pushed BIGINT NOT NULL,
	CONSTRAINT pk_dataset PRIMARY KEY (workspace, name)
);

CREATE TABLE dataset_push (
	workspace TEXT NOT NULL,
	dataset TEXT NOT NULL,
	number BIGINT NOT NULL,
	rows BIGINT NOT NULL,
	columns BLOB NOT NULL,
	CONSTRAINT pk_dataset_push PRIMARY KEY (workspace, dataset, number)
);

CREATE TABLE dataset_version (
	workspace TEXT NOT NULL,
	dataset TEXT NOT NULL,
	number BIGINT NOT NULL,
	tree TEXT NOT NULL,
	version TEXT NOT NULL,
	CONSTRAINT pk_dataset_version PRIMARY KEY (workspace, dataset, number)
);

CREATE TABLE endpoint (
	workspace TEXT NOT NULL,
	name TEXT NOT NULL,
	id TEXT NOT NULL,
	made BIGINT NOT NULL,
	spec TEXT NOT NULL,
	CONSTRAINT pk_endpoint PRIMARY KEY (workspace, name)
);

CREATE TABLE experiment (
	workspace TEXT NOT NULL,
	name TEXT NOT NULL,
	made BIGINT NOT NULL,
	about TEXT NOT NULL,
	CONSTRAINT pk_experiment PRIMARY KEY (workspace, name)
);

CREATE TABLE fact (
	workspace TEXT NOT NULL,
	number BIGINT NOT NULL,
	at BIGINT NOT NULL,
	actor TEXT NOT NULL,
	kind TEXT NOT NULL,
	subject TEXT NOT NULL,
	data TEXT NOT NULL,
	hash BLOB NOT NULL,
	CONSTRAINT pk_fact PRIMARY KEY (workspace, number)
);

CREATE TABLE feature_view (
	workspace TEXT NOT NULL,
	name TEXT NOT NULL,
	number BIGINT NOT NULL,
	digest TEXT NOT NULL,
	"view" TEXT NOT NULL,
	CONSTRAINT pk_feature_view PRIMARY KEY (workspace, name, number)
);

CREATE TABLE idempotency (
	workspace TEXT NOT NULL,
	actor TEXT NOT NULL,
	"key" TEXT NOT NULL,
	op TEXT NOT NULL,
	request BLOB NOT NULL,
	answer BLOB NOT NULL,
	at BIGINT NOT NULL,
	CONSTRAINT pk_idempotency PRIMARY KEY (workspace, actor, "key")
);

CREATE INDEX ix_idempotency_at ON idempotency (at);

CREATE TABLE incident (
	workspace TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	number BIGINT NOT NULL,
	state TEXT NOT NULL,
	spec TEXT NOT NULL,
	CONSTRAINT pk_incident PRIMARY KEY (workspace, endpoint, number)
);

CREATE TABLE label_batch (
	workspace TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	id TEXT NOT NULL,
	first BIGINT NOT NULL,
	last BIGINT NOT NULL,
	length BIGINT NOT NULL,
	packed BLOB NOT NULL,
	CONSTRAINT pk_label_batch PRIMARY KEY (workspace, endpoint, id)
);

CREATE INDEX ix_label_batch_last ON label_batch (workspace, endpoint, last);

CREATE TABLE log_horizon (
	workspace TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	until BIGINT NOT NULL,
	CONSTRAINT pk_log_horizon PRIMARY KEY (workspace, endpoint)
);

CREATE TABLE log_position (
	workspace TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	tape TEXT NOT NULL,
	place BIGINT NOT NULL,
	CONSTRAINT pk_log_position PRIMARY KEY (workspace, endpoint, tape)
);

CREATE TABLE log_segment (
	workspace TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	since BIGINT NOT NULL,
	part BIGINT NOT NULL,
	until BIGINT NOT NULL,
	digest TEXT NOT NULL,
	requests TEXT NOT NULL,
	length BIGINT NOT NULL,
	CONSTRAINT pk_log_segment PRIMARY KEY (workspace, endpoint, since, part)
);

CREATE TABLE loop_refusal (
	workspace TEXT NOT NULL,
	rule TEXT NOT NULL,
	subject TEXT NOT NULL,
	refusal TEXT NOT NULL,
	CONSTRAINT pk_loop_refusal PRIMARY KEY (workspace, rule, subject)
);

CREATE TABLE loop_rule (
	workspace TEXT NOT NULL,
	name TEXT NOT NULL,
	rule TEXT NOT NULL,
	CONSTRAINT pk_loop_rule PRIMARY KEY (workspace, name)
);

CREATE TABLE metric_segment (
	workspace TEXT NOT NULL,
	run TEXT NOT NULL,
	"key" TEXT NOT NULL,
	number BIGINT NOT NULL,
	first BIGINT NOT NULL,
	last BIGINT NOT NULL,
	length BIGINT NOT NULL,
	points BLOB NOT NULL,
	peaks BLOB NOT NULL,
	CONSTRAINT pk_metric_segment PRIMARY KEY (workspace, run, "key", number)
);

CREATE TABLE metric_tail (
	workspace TEXT NOT NULL,
	run TEXT NOT NULL,
	id TEXT NOT NULL,
	points BLOB NOT NULL,
	CONSTRAINT pk_metric_tail PRIMARY KEY (workspace, run, id)
);

CREATE TABLE model (
	workspace TEXT NOT NULL,
	name TEXT NOT NULL,
	made BIGINT NOT NULL,
	approvals BIGINT NOT NULL,
	about TEXT NOT NULL,
	CONSTRAINT pk_model PRIMARY KEY (workspace, name)
);

CREATE TABLE model_alias (
	workspace TEXT NOT NULL,
	model TEXT NOT NULL,
	name TEXT NOT NULL,
	number BIGINT NOT NULL,
	since BIGINT NOT NULL,
	actor TEXT NOT NULL,
	CONSTRAINT pk_model_alias PRIMARY KEY (workspace, model, name)
);

CREATE TABLE model_approval (
	workspace TEXT NOT NULL,
	model TEXT NOT NULL,
	id TEXT NOT NULL,
	number BIGINT NOT NULL,
	pipeline TEXT NOT NULL,
	actor TEXT NOT NULL,
	at BIGINT NOT NULL,
	note TEXT NOT NULL,
	fact BIGINT NOT NULL,
	CONSTRAINT pk_model_approval PRIMARY KEY (workspace, model, id)
);

CREATE TABLE model_source (
	workspace TEXT NOT NULL,
	model TEXT NOT NULL,
	number BIGINT NOT NULL,
	digest TEXT NOT NULL,
	CONSTRAINT pk_model_source PRIMARY KEY (workspace, model, number, digest)
);

CREATE INDEX ix_model_source_digest ON model_source (workspace, digest);

CREATE TABLE model_version (
	workspace TEXT NOT NULL,
	model TEXT NOT NULL,
	number BIGINT NOT NULL,
	run TEXT NOT NULL,
	tree TEXT NOT NULL,
	spec TEXT NOT NULL,
	CONSTRAINT pk_model_version PRIMARY KEY (workspace, model, number)
);

CREATE INDEX ix_model_version_run ON model_version (workspace, run);

CREATE TABLE monitor_block (
	workspace TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	since BIGINT NOT NULL,
	version BIGINT NOT NULL,
	spec TEXT NOT NULL,
	profile BLOB,
	CONSTRAINT pk_monitor_block PRIMARY KEY (workspace, endpoint, since, version)
);

CREATE TABLE monitor_challenge (
	workspace TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	rollout TEXT NOT NULL,
	CONSTRAINT pk_monitor_challenge PRIMARY KEY (workspace, endpoint)
);

CREATE TABLE monitor_drift (
	workspace TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	layout BLOB NOT NULL,
	state BLOB NOT NULL,
	CONSTRAINT pk_monitor_drift PRIMARY KEY (workspace, endpoint)
);

CREATE TABLE monitor_judgement (
	workspace TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	since BIGINT NOT NULL,
	spec TEXT NOT NULL,
	CONSTRAINT pk_monitor_judgement PRIMARY KEY (workspace, endpoint, since)
);

CREATE TABLE monitor_plan (
	workspace TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	spec TEXT NOT NULL,
	CONSTRAINT pk_monitor_plan PRIMARY KEY (workspace, endpoint)
);

CREATE TABLE monitor_standing (
	workspace TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	spec TEXT NOT NULL,
	CONSTRAINT pk_monitor_standing PRIMARY KEY (workspace, endpoint)
);

CREATE TABLE monitor_training (
	workspace TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	layout BLOB NOT NULL,
	state BLOB NOT NULL,
	CONSTRAINT pk_monitor_training PRIMARY KEY (workspace, endpoint)
);

CREATE TABLE pipeline (
	workspace TEXT NOT NULL,
	name TEXT NOT NULL,
	number BIGINT NOT NULL,
	code TEXT NOT NULL,
	entry TEXT NOT NULL,
	made BIGINT NOT NULL,
	actor TEXT NOT NULL,
	rest TEXT NOT NULL,
	CONSTRAINT pk_pipeline PRIMARY KEY (workspace, name, number)
);

CREATE TABLE rollout (
	workspace TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	number BIGINT NOT NULL,
	state TEXT NOT NULL,
	since BIGINT NOT NULL,
	spec TEXT NOT NULL,
	running BLOB,
	CONSTRAINT pk_rollout PRIMARY KEY (workspace, endpoint, number)
);

CREATE INDEX ix_rollout_state ON rollout (state);

CREATE TABLE rollout_evidence (
	workspace TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	number BIGINT NOT NULL,
	since BIGINT NOT NULL,
	phase TEXT NOT NULL,
	spec TEXT NOT NULL,
	CONSTRAINT pk_rollout_evidence PRIMARY KEY (workspace, endpoint, number, since, phase)
);

CREATE TABLE routing_table (
	workspace TEXT NOT NULL,
	endpoint TEXT NOT NULL,
	number BIGINT NOT NULL,
	spec TEXT NOT NULL,
	CONSTRAINT pk_routing_table PRIMARY KEY (workspace, endpoint, number)
);

CREATE TABLE run (
	workspace TEXT NOT NULL,
	id TEXT NOT NULL,
	experiment TEXT NOT NULL,
	name TEXT NOT NULL,
	kind TEXT NOT NULL,
	subject TEXT NOT NULL,
	state TEXT NOT NULL,
	actor TEXT NOT NULL,
	parent TEXT,
	queued BIGINT NOT NULL,
	started BIGINT,
	ended BIGINT,
	origin TEXT NOT NULL,
	inputs TEXT NOT NULL,
	outputs TEXT NOT NULL,
	fault TEXT,
	revision BIGINT NOT NULL,
	CONSTRAINT pk_run PRIMARY KEY (workspace, id)
);

CREATE INDEX ix_run_revision ON run (workspace, revision);

CREATE INDEX ix_run_state ON run (workspace, state);

CREATE TABLE run_latest (
	workspace TEXT NOT NULL,
	run TEXT NOT NULL,
	"key" TEXT NOT NULL,
	step BIGINT NOT NULL,
	at BIGINT NOT NULL,
	value DOUBLE,
	CONSTRAINT pk_run_latest PRIMARY KEY (workspace, run, "key")
);

CREATE TABLE run_order (
	workspace TEXT NOT NULL,
	run TEXT NOT NULL,
	pipeline TEXT NOT NULL,
	number BIGINT NOT NULL,
	seed BIGINT NOT NULL,
	"plan" TEXT,
	holder TEXT NOT NULL,
	held BIGINT NOT NULL,
	cancelled BIGINT NOT NULL,
	over BIGINT NOT NULL,
	CONSTRAINT pk_run_order PRIMARY KEY (workspace, run)
);

CREATE INDEX ix_run_order_over ON run_order (over);

CREATE TABLE run_value (
	workspace TEXT NOT NULL,
	run TEXT NOT NULL,
	kind TEXT NOT NULL,
	"key" TEXT NOT NULL,
	value TEXT NOT NULL,
	CONSTRAINT pk_run_value PRIMARY KEY (workspace, run, kind, "key")
);

CREATE TABLE serving_generation (
	id BIGINT NOT NULL,
	number BIGINT NOT NULL,
	CONSTRAINT pk_serving_generation PRIMARY KEY (id)
);

CREATE TABLE step_output (
	workspace TEXT NOT NULL,
	"key" TEXT NOT NULL,
	tree TEXT NOT NULL,
	run TEXT NOT NULL,
	made BIGINT NOT NULL,
	points TEXT NOT NULL,
	CONSTRAINT pk_step_output PRIMARY KEY (workspace, "key")
);

CREATE TABLE step_run (
	workspace TEXT NOT NULL,
	run TEXT NOT NULL,
	node BIGINT NOT NULL,
	step TEXT NOT NULL,
	state TEXT NOT NULL,
	"key" TEXT NOT NULL,
	parts TEXT NOT NULL,
	tree TEXT NOT NULL,
	attempt BIGINT NOT NULL,
	cpu_s DOUBLE NOT NULL,
	peak_mb DOUBLE NOT NULL,
	CONSTRAINT pk_step_run PRIMARY KEY (workspace, run, node)
);

CREATE TABLE study (
	workspace TEXT NOT NULL,
	name TEXT NOT NULL,
	definition TEXT NOT NULL,
	CONSTRAINT pk_study PRIMARY KEY (workspace, name)
);

CREATE TABLE token (
	id TEXT NOT NULL,
	actor TEXT NOT NULL,
	scopes TEXT NOT NULL,
	secret BLOB NOT NULL,
	made BIGINT NOT NULL,
	expires BIGINT,
	revoked BIGINT,
	CONSTRAINT pk_token PRIMARY KEY (id)
);

CREATE TABLE trial (
	workspace TEXT NOT NULL,
	study TEXT NOT NULL,
	number BIGINT NOT NULL,
	params TEXT NOT NULL,
	run TEXT NOT NULL,
	CONSTRAINT pk_trial PRIMARY KEY (workspace, study, number)
);

CREATE TABLE workspace (
	name TEXT NOT NULL,
	made BIGINT NOT NULL,
	CONSTRAINT pk_workspace PRIMARY KEY (name)
);

CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY);

INSERT INTO alembic_version VALUES ('0001');

