// store_impl.h: what a kind of store provides: PostgreSQL in postgres/, SQLite in sqlite/. Users include meowmx.h and
// store.h; what is the same for every kind (checks of what is passed, cursors, which kind a url names) is in store.c,
// cursor.c and open.c.
#ifndef STORE_STORE_IMPL_H
#define STORE_STORE_IMPL_H

#include "store/store.h"

// Bounds of a page, all inclusive: versions for an aggregate, positions otherwise.
struct store_page {
	int64_t from, to;
	int64_t rows; // at most so many events
	size_t bytes; // and no more once the batch is as large
	bool reverse;
};

#define STORE_HELD_SIZE 160

// Every operation that does not say otherwise is mandatory. All may rely on what store.h and meowmx.h say of their
// arguments; err is never NULL. What a failure leaves of outputs is the caller's to guard. Operations of a store on the
// application's connection never begin, commit, roll back or reconnect.
struct store_impl {
	const char *name; // "PostgreSQL"
	void (*close)(struct meow_store *store);

	// store_check_append has passed, count is above 0.
	bool (*append)(struct meow_store *store, const struct meow_append *append, struct meow_appended *ret,
		int64_t *ret_found, struct meow_error *err);

	// The highest position that a load of a category or of everything may show, at most query->to. Where somebody holds
	// it back, held_back_by (STORE_HELD_SIZE bytes) names him; else it stays empty.
	bool (*find_bound)(struct meow_store *store, const struct meow_query *query, int64_t *ret_bound, char *held_back_by,
		struct meow_error *err);

	// Adds a page of events to the batch. *ret_cut: its bytes ended it, not its rows or its bounds.
	bool (*load_page)(struct meow_store *store, const struct meow_query *query, const struct store_page *page,
		struct batch *batch, bool *ret_cut, struct meow_error *err);

	bool (*version)(struct meow_store *store, const char *aggregate_type, const char *aggregate_id,
		int64_t *ret_version, struct meow_error *err);
	bool (*list_aggregates)(struct meow_store *store, const char *aggregate_type, const char *after, size_t limit,
		struct meow_aggregate_page *ret_page, struct meow_error *err);
	bool (*delete_events)(struct meow_store *store, const char *aggregate_type, const char *aggregate_id,
		int64_t from_version, uint64_t *ret_count, struct meow_error *err);

	bool (*snapshot_save)(struct meow_store *store, const char *aggregate_type, const char *aggregate_id,
		const struct meow_snapshot *snapshot, struct meow_error *err);
	bool (*snapshot_load)(struct meow_store *store, const char *aggregate_type, const char *aggregate_id,
		int64_t version, struct meow_snapshot **ret_snapshot, struct meow_error *err);
	bool (*snapshot_prune)(struct meow_store *store, const char *aggregate_type, const char *aggregate_id, size_t keep,
		uint64_t *ret_count, struct meow_error *err);

	bool (*work_claim)(struct meow_store *store, const char *subscription, bool *ret_claimed, struct meow_error *err);
	// The subscription is a handler's from now on, unless it is a route's: then *ret_partitions is above 0.
	bool (*work_own)(
		struct meow_store *store, const char *subscription, int64_t *ret_partitions, struct meow_error *err);
	bool (*work_begin)(
		struct meow_store *store, const char *subscription, struct store_work *ret_work, struct meow_error *err);
	bool (*work_look)(
		struct meow_store *store, const char *subscription, struct store_work *ret_work, struct meow_error *err);
	bool (*work_commit)(
		struct meow_store *store, const char *subscription, const struct store_work *work, struct meow_error *err);
	bool (*work_roll_back)(struct meow_store *store, struct meow_error *err);
	bool (*work_report)(struct meow_store *store, const char *subscription, const struct store_work_state *state,
		struct meow_error *err);

	bool (*status)(struct meow_store *store, struct store_status *ret_status, struct meow_error *err);
	bool (*subscriptions)(
		struct meow_store *store, const char *name, struct store_subscriptions *ret_list, struct meow_error *err);
	// Both write only where the subscription has stopped, at this position if it is not 0; *ret_done says whether they did.
	bool (*subscription_resume)(struct meow_store *store, const char *name, bool *ret_done, struct meow_error *err);
	bool (*subscription_skip)(
		struct meow_store *store, const char *name, int64_t position, bool *ret_done, struct meow_error *err);

	// *ret_done: there is such a subscription; a rewind goes back and not forward; no relay has a lease of one that is deleted.
	bool (*subscription_pause)(struct meow_store *store, const char *name, bool *ret_done, struct meow_error *err);
	bool (*subscription_rewind)(
		struct meow_store *store, const char *name, int64_t position, bool *ret_done, struct meow_error *err);
	bool (*subscription_delete)(struct meow_store *store, const char *name, bool *ret_done, struct meow_error *err);

	bool (*layouts)(struct meow_store *store, const char *name, struct store_layouts *ret_list, struct meow_error *err);
	// See store.h. begin may find no partition at all. *ret_done: nobody had taken a lease.
	bool (*repartition_begin)(struct meow_store *store, struct store_repartition *repartition, struct meow_error *err);
	bool (*repartition_cut)(
		struct meow_store *store, const struct store_repartition *repartition, struct meow_error *err);
	bool (*repartition_finish)(
		struct meow_store *store, const struct store_repartition *repartition, bool *ret_done, struct meow_error *err);

	bool (*dead_letters)(struct meow_store *store, const struct store_dead_filter *filter,
		bool (*fn)(void *arg, const struct store_dead_letter *letter), void *arg, struct meow_error *err);
	bool (*dead_positions)(struct meow_store *store, const char *name, int64_t from, int64_t to,
		bool (*fn)(void *arg, const struct store_dead_position *dead), void *arg, struct meow_error *err);
	// Both leave out those that others of their aggregate stand before.
	bool (*dead_discard)(
		struct meow_store *store, const struct store_dead_filter *filter, int64_t *ret_count, struct meow_error *err);
	bool (*dead_retry)(
		struct meow_store *store, const struct store_dead_filter *filter, int64_t *ret_count, struct meow_error *err);

	// NULL where Python meowmx has no subscriptions that could be adopted.
	bool (*subscription_adopt)(struct meow_store *store, const struct store_adopt *wanted,
		struct store_adoption *ret_adoption, struct meow_error *err);

	bool (*bulk)(struct meow_store *store, const struct store_bulk_line *lines, size_t count,
		struct store_bulk_result *ret_result, uint64_t *ret_line, struct meow_error *err);
};

// Every kind's store begins with this.
struct meow_store {
	const struct store_impl *impl;
};

// A kind of store, by url.
struct store_backend {
	bool (*accepts)(const char *url);
	bool (*check_url)(const char *url, struct meow_error *err); // without connecting
	struct meow_store *(*open)(const char *url, struct meow_error *err);
	struct session *(*session_create)(const char *url, struct loop *loop, struct meow_error *err);
	bool (*setup)(const struct store_setup *setup, struct meow_error *err);
};

extern const struct store_backend store_postgres, store_sqlite;

// What can be said of an event without asking the server. The text goes on after "event 3" or "the event".
MEOW_MUST_USE bool store_check_event(const struct meow_new_event *event, struct meow_error *err);

// A random UUID (version 4) as text.
#define STORE_UUID_SIZE 37
MEOW_MUST_USE bool store_random_uuid(char ret_text[STORE_UUID_SIZE], struct meow_error *err);

// The errors that every kind says in the same words. Each returns false.
bool store_still_run(const char *subscription, const char *relay, struct meow_error *err);
bool store_of_handler(const char *subscription, struct meow_error *err);
bool store_conflict(const struct meow_append *append, int64_t found, struct meow_error *err);
bool store_type_mismatch(const char *aggregate_id, const char *known_type, const char *type, struct meow_error *err);

// A snapshot with a copy of its data; NULL without memory.
struct meow_snapshot *store_snapshot_create(int64_t version, int64_t position, struct meow_bytes data);

#endif
