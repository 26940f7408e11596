// kafka_client.c: librdkafka writes to an event descriptor when its queue fills (rd_kafka_queue_io_event_enable), and so
// does the thread that asks for metadata when it has an answer. No callback of ours runs on a library's thread.
#include "connectors/kafka/kafka_client.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define DETACHED_MS 100

struct ask {
	struct ask *next;
	struct kafka_answer answer;
	bool any_broker;
	char name[];
};

struct ask_list {
	struct ask *first, *last;
};

struct kafka_client {
	rd_kafka_t *handle;
	rd_kafka_queue_t *queue;
	int wake_fd;
	struct loop_io *io;
	loop_fn *wake;
	void *arg;

	pthread_t asker;
	bool asker_runs;
	pthread_mutex_t lock; // guards what follows
	pthread_cond_t changed;
	struct ask_list asked, answered;
	bool closing;
	bool detached; // from the loop: the thread takes what librdkafka reports
};

static void push(struct ask_list *list, struct ask *ask)
{
	ask->next = NULL;
	if (list->first == NULL)
		list->first = ask;
	else
		list->last->next = ask;
	list->last = ask;
}

static struct ask *pop(struct ask_list *list)
{
	struct ask *ask = list->first;
	if (ask != NULL)
		list->first = ask->next;
	return ask;
}

static const uint64_t one = 1;

static void note_topic(const struct rd_kafka_metadata *metadata, struct kafka_answer *answer)
{
	answer->state = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	if (metadata->topic_cnt != 1)
		return;
	const struct rd_kafka_metadata_topic *topic = &metadata->topics[0];
	answer->state = topic->err;
	answer->partitions = (size_t)topic->partition_cnt;
	answer->copies = topic->partition_cnt > 0 ? topic->partitions[0].replica_cnt : 0;
}

static void answer(struct kafka_client *client, struct ask *ask)
{
	const struct rd_kafka_metadata *metadata = NULL;
	rd_kafka_topic_t *topic = NULL;
	if (!ask->any_broker) {
		topic = rd_kafka_topic_new(client->handle, ask->name, NULL);
		if (topic == NULL) {
			ask->answer.failed = rd_kafka_last_error();
			return;
		}
	}
	ask->answer.failed = rd_kafka_metadata(client->handle, 0, topic, &metadata, ASK_MS);
	ask->answer.handle = topic;
	if (ask->answer.failed != RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	if (topic != NULL)
		note_topic(metadata, &ask->answer);
	rd_kafka_metadata_destroy(metadata);
}

void kafka_client_wake(struct kafka_client *client)
{
	// It can only fail when the counter is full, and then the loop is awake anyway.
	if (write(client->wake_fd, &one, sizeof(one)) < 0)
		return;
}

// A commit that the connector has left behind waits for all reports to be taken, and the loop takes none any more.
static void drop_event(struct kafka_client *client)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(client->queue, DETACHED_MS);
	if (event != NULL)
		rd_kafka_event_destroy(event);
}

static void *run_asker(void *arg)
{
	struct kafka_client *client = arg;
	pthread_mutex_lock(&client->lock);
	while (!client->closing) {
		if (client->detached) {
			pthread_mutex_unlock(&client->lock);
			drop_event(client);
			pthread_mutex_lock(&client->lock);
			continue;
		}
		struct ask *ask = pop(&client->asked);
		if (ask == NULL) {
			pthread_cond_wait(&client->changed, &client->lock);
			continue;
		}
		pthread_mutex_unlock(&client->lock);
		answer(client, ask);
		pthread_mutex_lock(&client->lock);
		push(&client->answered, ask);
		kafka_client_wake(client);
	}
	pthread_mutex_unlock(&client->lock);
	return NULL;
}

static bool start_asker(struct kafka_client *client, struct meow_error *err)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before); // signals are the main loop's
	int failed = pthread_create(&client->asker, NULL, run_asker, client);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	client->asker_runs = failed == 0;
	return failed == 0 || error_set(err, MEOW_UNAVAILABLE, "no thread for the Kafka connector: %s", strerror(failed));
}

static void readable(void *arg, bool can_read, bool can_write)
{
	struct kafka_client *client = arg;
	(void)can_read;
	(void)can_write;
	uint64_t count;
	if (read(client->wake_fd, &count, sizeof(count)) < 0 && errno == EAGAIN)
		return;
	client->wake(client->arg);
}

rd_kafka_t *kafka_client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, struct meow_error *err)
{
	char text[MEOW_ERROR_TEXT_SIZE];
	rd_kafka_t *handle = rd_kafka_new(type, conf, text, sizeof(text));
	int number = errno;
	if (handle != NULL)
		return handle;
	if (rd_kafka_last_error() == RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE) {
		// Its threads did not start within a minute of its clock, which a jump of the machine's clock makes an instant.
		// They start after all, and read the configuration.
		if (number != EDEADLK)
			rd_kafka_conf_destroy(conf);
		error_set(err, MEOW_UNAVAILABLE, "librdkafka cannot start: %s", text);
	} else {
		rd_kafka_conf_destroy(conf);
		error_set(err, MEOW_CONFIG, "client: librdkafka refuses the settings: %s", text);
	}
	return NULL;
}

static bool start_handle(struct kafka_client *client, rd_kafka_conf_t *conf, struct meow_error *err)
{
	client->handle = kafka_client_new(RD_KAFKA_PRODUCER, conf, err);
	if (client->handle == NULL)
		return false;
	rd_kafka_resp_err_t failed = rd_kafka_set_log_queue(client->handle, NULL);
	if (failed != RD_KAFKA_RESP_ERR_NO_ERROR)
		return error_set(err, MEOW_BUG, "librdkafka's log: %s", rd_kafka_err2str(failed));
	client->queue = rd_kafka_queue_get_main(client->handle);
	rd_kafka_queue_io_event_enable(client->queue, client->wake_fd, &one, sizeof(one));
	return true;
}

struct kafka_client *kafka_client_create(
	rd_kafka_conf_t *conf, struct loop *loop, loop_fn *wake, void *arg, struct meow_error *err)
{
	struct kafka_client *client = calloc(1, sizeof(*client));
	if (client == NULL) {
		rd_kafka_conf_destroy(conf);
		error_no_memory(err);
		return NULL;
	}
	client->wake = wake;
	client->arg = arg;
	pthread_mutex_init(&client->lock, NULL);
	pthread_cond_init(&client->changed, NULL);
	client->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	client->io = client->wake_fd < 0 ? NULL : loop_io_create(loop, client->wake_fd, readable, client);
	if (client->io == NULL) {
		rd_kafka_conf_destroy(conf);
		error_set(err, MEOW_UNAVAILABLE, "no descriptor for the Kafka connector: %s", strerror(errno));
	} else if (start_handle(client, conf, err) && start_asker(client, err)) {
		loop_io_watch(client->io, true, false);
		return client;
	}
	kafka_client_destroy(client);
	return NULL;
}

static void stop_asker(struct kafka_client *client)
{
	pthread_mutex_lock(&client->lock);
	client->closing = true;
	pthread_cond_signal(&client->changed);
	pthread_mutex_unlock(&client->lock);
	if (client->asker_runs)
		pthread_join(client->asker, NULL);
	struct ask *ask;
	while ((ask = pop(&client->asked)) != NULL)
		free(ask);
	while ((ask = pop(&client->answered)) != NULL) {
		if (ask->answer.handle != NULL)
			rd_kafka_topic_destroy(ask->answer.handle);
		free(ask);
	}
}

void kafka_client_detach(struct kafka_client *client)
{
	loop_io_destroy(client->io);
	client->io = NULL;
	pthread_mutex_lock(&client->lock);
	client->detached = true;
	pthread_cond_signal(&client->changed);
	pthread_mutex_unlock(&client->lock);
}

void kafka_client_destroy(struct kafka_client *client)
{
	if (client == NULL)
		return;
	stop_asker(client);
	loop_io_destroy(client->io);
	if (client->queue != NULL) {
		rd_kafka_queue_io_event_enable(client->queue, -1, NULL, 0);
		rd_kafka_queue_destroy(client->queue);
	}
	if (client->handle != NULL) {
		rd_kafka_purge(
			client->handle, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
		rd_kafka_destroy(client->handle);
	}
	if (client->wake_fd >= 0)
		close(client->wake_fd);
	pthread_cond_destroy(&client->changed);
	pthread_mutex_destroy(&client->lock);
	free(client);
}

rd_kafka_t *kafka_client_handle(const struct kafka_client *client)
{
	return client->handle;
}

rd_kafka_queue_t *kafka_client_queue(const struct kafka_client *client)
{
	return client->queue;
}

rd_kafka_event_t *kafka_client_poll(struct kafka_client *client)
{
	return rd_kafka_queue_poll(client->queue, 0);
}

bool kafka_client_ask(struct kafka_client *client, const char *name, void *topic)
{
	size_t size = name == NULL ? 0 : strlen(name);
	struct ask *ask = calloc(1, sizeof(*ask) + size + 1);
	if (ask == NULL)
		return false;
	ask->any_broker = name == NULL;
	ask->answer.topic = topic;
	if (name != NULL)
		memcpy(ask->name, name, size + 1);
	pthread_mutex_lock(&client->lock);
	push(&client->asked, ask);
	pthread_cond_signal(&client->changed);
	pthread_mutex_unlock(&client->lock);
	return true;
}

bool kafka_client_answer(struct kafka_client *client, struct kafka_answer *ret_answer)
{
	pthread_mutex_lock(&client->lock);
	struct ask *ask = pop(&client->answered);
	pthread_mutex_unlock(&client->lock);
	if (ask == NULL)
		return false;
	*ret_answer = ask->answer;
	free(ask);
	return true;
}
