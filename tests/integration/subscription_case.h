// subscription_case.h: what the tests of subscriptions share: a store, a read model that a handler fills, and what it must
// have seen.
#ifndef TESTS_INTEGRATION_SUBSCRIPTION_CASE_H
#define TESTS_INTEGRATION_SUBSCRIPTION_CASE_H

#include "database.h"

#include <pthread.h>
#include <unistd.h>

// Made anew for each test, on PostgreSQL, with the read model's table `seen`.
extern const char *url;
extern struct meow_store *store;

int each_setup(void **state);
int each_teardown(void **state);
PGconn *conn(void);

// `count` events over a few aggregates; each with its number, from `from` on, as data.
void append_events(const char *type, int from, int count);

// A read model in the same database: a row for each event.
struct model {
	const char *name;
	struct meow_subscription *subscription;
	_Atomic int calls;
	_Atomic int reports;
	int refuse_data; // refuses the event with this number,
	int refusals;    // so many times
	int stop_after;  // calls meow_subscription_stop at this call
	int64_t reported_position;
	_Atomic int states[4]; // how often each was reported
	char reason[MEOW_ERROR_TEXT_SIZE];
};

// The model's handler and report.
bool record(void *arg, struct meow_store *transaction, const struct meow_event *event, struct meow_error *err);
void take_report(void *arg, const struct meow_subscription_report *report);

struct meow_subscription_settings settings_of(struct model *model);
struct meow_subscription *create(struct model *model, const struct meow_subscription_settings *settings);
void run_whole(struct model *model, const struct meow_subscription_settings *settings);

// In a thread of its own; join fails the test if it did not end well.
pthread_t start_thread(struct meow_subscription *subscription);
void join(pthread_t thread);

// All events of these types were seen once, in the order of the store.
void assert_seen(const char *name, const char *types);

int64_t position_of(const char *name);
int64_t head(void);

#define WAIT_FOR(condition)                                                                                            \
	do {                                                                                                               \
		int waited_ms = 0;                                                                                             \
		while (!(condition)) {                                                                                         \
			if (waited_ms++ > 20000)                                                                                   \
				fail_msg("waited in vain for %s", #condition);                                                         \
			usleep(1000);                                                                                              \
		}                                                                                                              \
	} while (0)

#endif
