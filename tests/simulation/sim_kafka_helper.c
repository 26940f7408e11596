// The helper of exactly-once delivery, in place of kafka_helper.c: its jobs take their time on the world's loop instead of
// on a thread. A commit may be asked for twice, of which one request arrives much later; its outcome may stay unknown.
#include "connectors/kafka/kafka_helper.h"
#include "sim_kafka.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

struct kafka_helper {
	struct kafka_client *client;
	struct loop *process;
	rd_kafka_conf_t *reader;
	char *topic;
	enum kafka_job job;
	struct kafka_done done;
	int64_t epoch;
	bool answered, must_abort, ended, dead, open;
	unsigned uses;
};

static void free_helper(struct kafka_helper *helper)
{
	kafka_client_destroy(helper->client);
	free(helper->done.record.fingerprint);
	rd_kafka_conf_destroy(helper->reader);
	free(helper->topic);
	free(helper);
}

static void release(struct kafka_helper *helper)
{
	if (--helper->uses == 0 && helper->ended)
		free_helper(helper);
}

static void use(struct kafka_helper *helper, struct loop *loop, int64_t delay_us, loop_fn *fn)
{
	helper->uses++;
	sim_after(loop, delay_us, fn, helper);
}

// --- what the jobs do

static void fail(struct kafka_helper *helper, enum meow_error_kind kind, const char *text)
{
	error_set(&helper->done.err, kind, "%s", text);
}

static void start(struct kafka_helper *helper)
{
	helper->done.copies = 1;
	if (sim_chance(sim_kafka_fail_percent())) {
		fail(helper, MEOW_UNAVAILABLE, "transactions could not be started");
		if (sim_chance(50))
			return;
	}
	helper->epoch = sim_kafka_init();
	sim_step(helper->process, EXACTLY_DID_INIT);
}

static void read_position(struct kafka_helper *helper)
{
	char *key, *value;
	const char *why;
	if (sim_chance(sim_kafka_fail_percent())) {
		fail(helper, MEOW_UNAVAILABLE, "the position could not be read");
		return;
	}
	helper->done.found = sim_kafka_record(&key, &value);
	if (helper->done.found) {
		if (!kafka_record_parse(bytes_of(key), bytes_of(value), &helper->done.record, &why))
			sim_violation("the record %s cannot be read: %s", value, why);
		free(key);
		free(value);
	}
	sim_kafka_client_begin(helper->client, helper->epoch);
	sim_step(helper->process, EXACTLY_DID_READ);
}

static void committed(struct kafka_helper *helper)
{
	helper->done.committed = true;
	if (!helper->ended)
		sim_kafka_client_begin(helper->client, helper->epoch);
	sim_step(helper->process, EXACTLY_DID_COMMIT);
}

static void end_transaction(struct kafka_helper *helper)
{
	helper->done.requests = 1;
	bool doubtful = sim_random() % 80 < sim_kafka_fail_percent();
	if (doubtful && sim_chance(40)) { // nobody knows: it has arrived, or will, or never will
		fail(helper, MEOW_UNKNOWN_OUTCOME, "whether the transaction was committed is not known");
		if (sim_chance(40))
			sim_kafka_end(helper->epoch, true);
		else if (sim_chance(50))
			sim_kafka_end_late(helper->epoch);
		return;
	}
	if (!sim_kafka_end(helper->epoch, true)) {
		fail(helper, MEOW_UNAVAILABLE, "another producer of this route has taken over");
		sim_kafka_client_fence(helper->client);
		return;
	}
	if (doubtful) {
		helper->done.requests = 2;
		sim_kafka_end_late(helper->epoch);
	}
	committed(helper);
}

// False: what was produced is still on its way.
static bool commit(struct kafka_helper *helper)
{
	struct kafka_producer_state producer = sim_kafka_client_state(helper->client);
	if (producer.failed) {
		helper->must_abort = true;
		fail(helper, MEOW_UNAVAILABLE, "the transaction failed");
		return true;
	}
	if (!producer.idle)
		return false;
	end_transaction(helper);
	return true;
}

// --- jobs

static void answer(void *arg)
{
	struct kafka_helper *helper = arg;
	bool alive = !helper->ended && (helper->job != JOB_COMMIT || sim_step(helper->process, EXACTLY_ANSWERS));
	helper->answered = alive;
	if (alive)
		kafka_client_wake(helper->client);
	release(helper);
}

static void work(void *arg)
{
	struct kafka_helper *helper = arg;
	bool done = true;
	if (helper->ended && (helper->job != JOB_COMMIT || helper->dead ? sim_chance(50) : false)) {
		release(helper); // it was not sent yet
		return;
	}
	if (sim_kafka_is_down())
		done = false;
	else if (helper->job == JOB_START)
		start(helper);
	else if (helper->job == JOB_READ)
		read_position(helper);
	else
		done = commit(helper);
	if (done)
		use(helper, helper->process, sim_between(50, 2000), answer);
	else
		use(helper, sim_kafka_world(), sim_between(100, 2000), work);
	release(helper);
}

struct kafka_helper *kafka_helper_create(
	const struct kafka_checkpoint *checkpoint, rd_kafka_conf_t *conf, struct meow_error *err)
{
	struct kafka_helper *helper = calloc(1, sizeof(*helper));
	(void)conf;
	(void)err;
	if (!helper)
		abort();
	helper->reader = checkpoint->reader;
	helper->topic = checkpoint->topic;
	return helper;
}

bool kafka_helper_run(struct kafka_helper *helper, struct kafka_client *client, struct meow_error *err)
{
	(void)err;
	helper->client = client;
	helper->process = sim_kafka_client_state(client).process;
	return true;
}

void kafka_helper_do(struct kafka_helper *helper, enum kafka_job job)
{
	static const enum sim_step steps[] = {
		[JOB_START] = EXACTLY_ASKS_INIT, [JOB_READ] = EXACTLY_ASKS_READ, [JOB_COMMIT] = EXACTLY_ASKS_COMMIT};
	helper->job = job;
	helper->answered = false;
	helper->done = (struct kafka_done){.job = job};
	if (sim_step(helper->process, steps[job]))
		use(helper, sim_kafka_world(), sim_between(50, 4000), work);
}

bool kafka_helper_answer(struct kafka_helper *helper, struct kafka_done *ret_done)
{
	bool answered = helper->answered;
	if (answered) {
		*ret_done = helper->done;
		helper->done = (struct kafka_done){0};
		helper->answered = false;
		helper->job = JOB_NONE;
	}
	return answered;
}

static void abort_open(void *arg)
{
	struct kafka_helper *helper = arg;
	sim_kafka_end(helper->epoch, false);
	release(helper);
}

void kafka_helper_end(struct kafka_helper *helper, struct kafka_client *client, bool open)
{
	if (!helper) {
		kafka_client_destroy(client);
		return;
	}
	helper->client = client;
	helper->ended = true;
	helper->dead = helper->process && sim_loop_is_dead(helper->process);
	if (client)
		kafka_client_detach(client);
	if (helper->uses == 0 && !helper->dead && (open || helper->must_abort))
		use(helper, sim_kafka_world(), sim_between(50, 20000), abort_open);
	if (helper->uses == 0)
		free_helper(helper);
}
