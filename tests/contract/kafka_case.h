// kafka_case.h: what the suite and the cases of either delivery have in common where they run against a real broker: the
// broker, the places on it, and the fixture of one case. All of it asserts.
#ifndef CONTRACT_KAFKA_CASE_H
#define CONTRACT_KAFKA_CASE_H

#include "kafka_look.h"

#define LONG_MS 60000

struct broker {
	struct server *server; // the main program starts it
	const char *delivery;  // NULL: the default
	int cases;             // so far; each has topics and a store id of its own, and so its own checkpoint topic:
	char prefix[32];       // of the topics of this one
	char store_id[37];
	char checkpoint[64]; // the topic's name
};
extern struct broker broker;

const char *servers(void);

// Of a contract_sink, whose arg may be NULL.
void kafka_case_fresh(void *arg, struct contract_settings *settings); // topics are made with three partitions
void kafka_case_read(void *arg, struct contract_log *log);
void kafka_case_stop(void *arg); // in its orderly way
void kafka_case_kill(void *arg);
void kafka_case_start(void *arg); // again
void kafka_case_spoil(void *arg, struct meow_event *event);

struct fixture {
	struct contract_settings *settings; // those of fresh, and what the case adds
	struct contract_relay relay;        // finished at the end, if the case has made it
	char topic[64];                     // "<prefix>order"
};
int kafka_case_setup(void **state);
int kafka_case_teardown(void **state);
#define CASE(test) cmocka_unit_test_setup_teardown(test, kafka_case_setup, kafka_case_teardown)

// In place of the settings of fresh: the delivery, the topics' names and these servers alone.
void start_settings(struct fixture *fixture, const char *servers);

bool was_noticed(const struct contract_relay *relay); // for contract_wait; or has failed
void expect_text(const struct contract_relay *relay, const char *text);

// `count` events of one aggregate from `first` on, each with `padding` bytes; `large` of them has `size` bytes.
struct batch *padded_batch(int64_t first, size_t count, size_t padding, int64_t large, size_t size);

#endif
