// kafka_helper.c: see kafka_helper.h. The thread is joined when it is idle, and detached when it is not: then it owns the
// helper, the client and all that is in them, and nothing of the connector or its loop.
#include "connectors/kafka/kafka_helper.h"

#include "connectors/kafka/kafka_error.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define SLICE_MS 100 // of init_transactions: each asks the coordinator again at once, librdkafka alone twice a second
#define START_LIMIT_MS 60000 // of all slices
#define ABORT_LIMIT_MS 5000  // of an abort that nobody waits for
#define DRAIN_SLICE_MS 100
#define DRAIN_SLICES 20
#define END_TXN 26 // ApiKey of the request that ends a transaction

struct kafka_helper {
	struct kafka_checkpoint checkpoint;
	struct kafka_client *client;
	rd_kafka_t *producer;
	atomic_uint ends;
	bool must_abort; // the commit that failed said so; the thread's own

	pthread_t thread;
	bool runs;
	pthread_mutex_t lock; // guards what follows
	pthread_cond_t changed;
	enum kafka_job job; // given and not answered
	bool answered;
	struct kafka_done done;
	bool alone; // the connector is gone: the thread frees everything
	bool open;  // a transaction was under way then
};

// --- what runs on librdkafka's threads: the one exception, and it only adds to an atomic

static rd_kafka_resp_err_t on_request_sent(rd_kafka_t *producer, int socket, const char *broker, int32_t broker_id,
	int16_t key, int16_t version, int32_t correlation, size_t size, void *arg)
{
	(void)producer, (void)socket, (void)broker, (void)broker_id, (void)version, (void)correlation, (void)size;
	if (key == END_TXN)
		atomic_fetch_add(&((struct kafka_helper *)arg)->ends, 1);
	return RD_KAFKA_RESP_ERR_NO_ERROR;
}

static rd_kafka_resp_err_t on_new(rd_kafka_t *producer, const rd_kafka_conf_t *conf, void *arg, char *text, size_t size)
{
	(void)conf, (void)text, (void)size;
	return rd_kafka_interceptor_add_on_request_sent(producer, "meowmx", on_request_sent, arg);
}

// --- jobs

// Takes error. False with err filled.
static bool failed(const struct kafka_helper *helper, rd_kafka_error_t *error, const char *what, struct meow_error *err)
{
	rd_kafka_resp_err_t code = rd_kafka_error_code(error);
	enum meow_error_kind kind = kafka_error_kind(code);
	if (kind == MEOW_INVALID) // which event it is, its delivery report says
		kind = MEOW_UNAVAILABLE;
	if (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
		error_set_code(err, kind, rd_kafka_err2name(code),
			"%s: %s; allow the client Write and Describe on checkpoint topic %s and on the topics of the events", what,
			rd_kafka_error_string(error), helper->checkpoint.topic);
	else
		error_set_code(err, kind, rd_kafka_err2name(code), "%s: %s%s", what, rd_kafka_error_string(error),
			kafka_error_advice(code));
	rd_kafka_error_destroy(error);
	return false;
}

static bool init(struct kafka_helper *helper, struct meow_error *err)
{
	for (int waited = 0;; waited += SLICE_MS) {
		rd_kafka_error_t *error = rd_kafka_init_transactions(helper->producer, SLICE_MS);
		if (error == NULL)
			return true;
		bool again = rd_kafka_error_is_retriable(error) && !rd_kafka_error_is_fatal(error);
		if (!again || waited >= START_LIMIT_MS || atomic_load(&helper->checkpoint.closing))
			return failed(helper, error, "transactions could not be started", err);
		rd_kafka_error_destroy(error);
	}
}

static bool begin(struct kafka_helper *helper, struct meow_error *err)
{
	atomic_store(&helper->ends, 0);
	rd_kafka_error_t *error = rd_kafka_begin_transaction(helper->producer);
	return error == NULL || failed(helper, error, "no transaction could be begun", err);
}

// An error that says how it ends leaves nothing open: fatal, or to be aborted. Any other leaves the outcome unknown.
static void commit(struct kafka_helper *helper, struct kafka_done *done)
{
	rd_kafka_error_t *error;
	while ((error = rd_kafka_commit_transaction(helper->producer, -1)) != NULL && rd_kafka_error_is_retriable(error) &&
		   !rd_kafka_error_is_fatal(error) && !atomic_load(&helper->checkpoint.closing))
		rd_kafka_error_destroy(error); // it goes on in the background; the next call waits for the rest of it
	done->requests = atomic_load(&helper->ends);
	done->committed = error == NULL;
	if (error == NULL) {
		if (!begin(helper, &done->err))
			return;
		return;
	}
	helper->must_abort = rd_kafka_error_txn_requires_abort(error);
	bool known = helper->must_abort || rd_kafka_error_is_fatal(error);
	failed(helper, error, known ? "the transaction failed" : "whether the transaction was committed is not known",
		&done->err);
	if (!known)
		done->err.kind = MEOW_UNKNOWN_OUTCOME;
}

static void run_job(struct kafka_helper *helper, struct kafka_done *done)
{
	struct kafka_checkpoint *checkpoint = &helper->checkpoint;
	bool ok = true;
	if (done->job == JOB_START)
		ok = kafka_checkpoint_check(checkpoint, &done->created, &done->copies, &done->err) && init(helper, &done->err);
	else if (done->job == JOB_READ)
		ok = kafka_checkpoint_read(checkpoint, &done->record, &done->found, &done->err) && begin(helper, &done->err);
	else
		commit(helper, done);
	if (!ok && done->err.kind == MEOW_ERROR_NONE)
		error_set(&done->err, MEOW_BUG, "the Kafka connector's helper failed without a reason");
}

// --- the end

static void free_helper(struct kafka_helper *helper)
{
	kafka_client_destroy(helper->client);
	if (helper->done.record.fingerprint != NULL && helper->answered)
		free(helper->done.record.fingerprint);
	if (helper->checkpoint.reader != NULL)
		rd_kafka_conf_destroy(helper->checkpoint.reader);
	free(helper->checkpoint.topic);
	pthread_cond_destroy(&helper->changed);
	pthread_mutex_destroy(&helper->lock);
	free(helper);
}

// What is on its way must arrive first: an abort that overtook it would leave it as a transaction without an end.
static void abort_open(struct kafka_helper *helper)
{
	rd_kafka_purge(helper->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_NON_BLOCKING);
	for (int i = 0; i < DRAIN_SLICES && rd_kafka_outq_len(helper->producer) > 0; i++) {
		rd_kafka_event_t *event = rd_kafka_queue_poll(kafka_client_queue(helper->client), DRAIN_SLICE_MS);
		if (event != NULL)
			rd_kafka_event_destroy(event);
	}
	if (rd_kafka_outq_len(helper->producer) > 0)
		return; // the next producer of this route settles it, or the transaction's time-out
	rd_kafka_error_t *error = rd_kafka_abort_transaction(helper->producer, ABORT_LIMIT_MS);
	if (error != NULL)
		rd_kafka_error_destroy(error);
}

static void *run(void *arg)
{
	struct kafka_helper *helper = arg;
	pthread_mutex_lock(&helper->lock);
	while (!atomic_load(&helper->checkpoint.closing)) {
		if (helper->job == JOB_NONE || helper->answered) {
			pthread_cond_wait(&helper->changed, &helper->lock);
			continue;
		}
		struct kafka_done done = {.job = helper->job};
		pthread_mutex_unlock(&helper->lock);
		run_job(helper, &done);
		pthread_mutex_lock(&helper->lock);
		helper->done = done;
		helper->answered = true;
		kafka_client_wake(helper->client);
	}
	bool alone = helper->alone;
	pthread_mutex_unlock(&helper->lock);
	if (!alone)
		return NULL;
	if (helper->open || helper->must_abort)
		abort_open(helper);
	free_helper(helper);
	return NULL;
}

void kafka_helper_end(struct kafka_helper *helper, struct kafka_client *client, bool open)
{
	if (helper == NULL) {
		kafka_client_destroy(client);
		return;
	}
	helper->client = client;
	if (!helper->runs) {
		free_helper(helper);
		return;
	}
	pthread_mutex_lock(&helper->lock);
	bool busy = helper->job != JOB_NONE && !helper->answered;
	helper->alone = busy || open || helper->must_abort;
	helper->open = open;
	bool alone = helper->alone;
	if (alone) {
		kafka_client_detach(client);
		pthread_detach(helper->thread);
	}
	atomic_store(&helper->checkpoint.closing, true);
	pthread_cond_signal(&helper->changed);
	pthread_t thread = helper->thread;
	pthread_mutex_unlock(&helper->lock);
	if (alone)
		return;
	pthread_join(thread, NULL);
	free_helper(helper);
}

// --- the loop's side

struct kafka_helper *kafka_helper_create(
	const struct kafka_checkpoint *checkpoint, rd_kafka_conf_t *conf, struct meow_error *err)
{
	struct kafka_helper *helper = calloc(1, sizeof(*helper));
	if (helper == NULL) {
		if (checkpoint->reader != NULL)
			rd_kafka_conf_destroy(checkpoint->reader);
		free(checkpoint->topic);
		error_no_memory(err);
		return NULL;
	}
	helper->checkpoint = *checkpoint;
	pthread_mutex_init(&helper->lock, NULL);
	pthread_cond_init(&helper->changed, NULL);
	if (rd_kafka_conf_interceptor_add_on_new(conf, "meowmx", on_new, helper) == RD_KAFKA_RESP_ERR_NO_ERROR)
		return helper;
	error_set(err, MEOW_BUG, "librdkafka takes no interceptor");
	free_helper(helper);
	return NULL;
}

bool kafka_helper_run(struct kafka_helper *helper, struct kafka_client *client, struct meow_error *err)
{
	helper->client = client;
	helper->producer = helper->checkpoint.producer = kafka_client_handle(client);
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); // signals are the main loop's
	int fault = pthread_create(&helper->thread, NULL, run, helper);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	helper->runs = fault == 0;
	return fault == 0 || error_set(err, MEOW_UNAVAILABLE, "no thread for the Kafka connector: %s", strerror(fault));
}

void kafka_helper_do(struct kafka_helper *helper, enum kafka_job job)
{
	pthread_mutex_lock(&helper->lock);
	helper->job = job;
	helper->answered = false;
	pthread_cond_signal(&helper->changed);
	pthread_mutex_unlock(&helper->lock);
}

bool kafka_helper_answer(struct kafka_helper *helper, struct kafka_done *ret_done)
{
	pthread_mutex_lock(&helper->lock);
	bool answered = helper->answered;
	if (answered) {
		*ret_done = helper->done;
		helper->done = (struct kafka_done){0};
		helper->answered = false;
		helper->job = JOB_NONE;
	}
	pthread_mutex_unlock(&helper->lock);
	return answered;
}
