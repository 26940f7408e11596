// What requests do to the store, each at one moment, and the judgement of every checkpoint that is saved.
#include "sim_store_part.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool wanted(const struct session_read *read, const struct meow_event *event)
{
	for (size_t i = 0; i < read->category_count; i++)
		if (bytes_equal(event->aggregate_type, bytes_of(read->categories[i])))
			return true;
	return !read->categories;
}

static void do_read(struct sim_store *store, struct request *request)
{
	const struct session_read *read = &request->read;
	struct session_rows *rows = &request->rows;
	*rows = (struct session_rows){
		.batch = batch_create(), .contiguous_to = read->after, .last = read->after, .complete = true};
	size_t seen = 0;
	for (int64_t id = read->after + 1; id <= store->last && id <= read->to; id++) {
		const struct stored *stored = store->events[id - 1];
		bool ours = stored->committed && wanted(read, &stored->event);
		if (!stored->committed || (!ours && !read->show_dropped))
			continue;
		if (ours && !batch_add(rows->batch, &stored->event))
			abort();
		rows->dropped += !ours;
		if (rows->contiguous_to == id - 1) {
			rows->contiguous_to = id;
			rows->contiguous_events = rows->batch->count;
		}
		rows->last = id;
		if (++seen == read->limit_rows || rows->batch->bytes >= read->limit_bytes) {
			rows->complete = false;
			return;
		}
	}
}

void serve_holders(struct sim_store *store, struct request *request)
{
	for (const struct transaction *open = store->open; open; open = open->next) {
		if (!open->holds || request->holder_count == HOLDERS_MOST)
			continue;
		struct session_holder *holder = &request->holders[request->holder_count++];
		*holder = (struct session_holder){
			.pid = open->prepared ? 0 : (int)open->number, .prepared = open->prepared, .age_us = -1};
		int backend = open->renamed ? -1 : (int)(open->number % 7);
		snprintf(holder->id, sizeof(holder->id), "%d/%d", backend, (int)open->number);
	}
	if (request->holder_count == HOLDERS_MOST)
		abort(); // the world was meant to be smaller
}

static void check_checkpoint(const struct sim_store *store, const struct request *request);

static void do_save(struct sim_store *store, struct request *request)
{
	struct row *row = store_row(store, request);
	const struct checkpoint *save = &request->save;
	if (row->epoch != save->epoch || row->generation != save->generation || (row->resume && !save->decision_known)) {
		request->conflict = true;
		return;
	}
	if (store->settings.steady && save->delivered < row->delivered)
		sim_violation("the checkpoint goes back from %ld to %ld", (long)row->delivered, (long)save->delivered);
	row->until_us = lease_clock_us(store) + save->lease_ms * 1000;
	if (!row->there && store->settings.start_now) {
		store->start = save->position;
		if (save->position < store->started_at)
			sim_violation("a route that starts now starts at %ld, and the store was at %ld", (long)save->position,
				(long)store->started_at);
	}
	check_checkpoint(store, request);
	row->there = true;
	row->delivered = save->delivered;
	row->position = save->position;
	row->error_position = save->error_position;
	row->stop_kept |= save->keep_stop;
	row->resume &= !save->decision_used;
	free(row->fingerprint);
	row->fingerprint = request->fingerprint;
	request->fingerprint = NULL;
	if (save->state) {
		snprintf(row->state, sizeof(row->state), "%s", request->state);
		snprintf(row->reason, sizeof(row->reason), "%s", request->reason);
	}
	if (store->newest->partitions == 1 && store->newest == store->layouts && store->copy_count < 64 && sim_chance(20)) {
		struct copy *copy = &store->copies[store->copy_count++];
		*copy = (struct copy){sim_now(store->loop), store->last, *row};
		copy->row.fingerprint = row->fingerprint ? strdup(row->fingerprint) : NULL;
	}
}

// A checkpoint may stand only where everything at or below it that was for the route is in the sink.
static void check_checkpoint(const struct sim_store *store, const struct request *request)
{
	const struct checkpoint *save = &request->save;
	for (int64_t id = store->start + 1; id <= save->position && id <= store->last; id++) {
		const struct stored *stored = store->events[id - 1];
		bool left_out = id == store->skipped || stored->dead;
		if (stored->committed && !left_out && store->watch->wants(&stored->event) && !store->watch->had(id) &&
			store_is_of(store, &stored->event, request))
			sim_violation("the checkpoint stands at %ld, and %ld is not in the sink", (long)save->position, (long)id);
	}
	for (const struct transaction *open = store->open; open; open = open->next) {
		for (size_t i = 0; i < open->count; i++)
			if (open->ids[i] <= save->position)
				sim_violation(
					"the checkpoint stands at %ld, and %ld may still commit", (long)save->position, (long)open->ids[i]);
		if (open->first_place && open->first_place <= save->position)
			sim_violation("the checkpoint stands at %ld, and a retry at %ld may still commit", (long)save->position,
				(long)open->first_place);
	}
	letters_check_checkpoint(store, request);
	int64_t cut = store->layouts[request->layout].cut;
	if (cut && save->position > cut)
		sim_violation("the checkpoint stands at %ld, and its layout ends at %ld", (long)save->position, (long)cut);
}

static void do_doze(struct sim_store *store)
{
	if (store->write_before_doze) {
		store->doze_until_us = 0; // as the first doze finds it, or one behind a crash
		sim_store_write(store);
	}
	store->write_before_doze = false;
	store->doze_until_us = sim_now(store->loop) + 2000000;
}

void serve(struct sim_store *store, struct request *request)
{
	if (request->kind == READ)
		do_read(store, request);
	else if (request->kind == HEAD)
		request->number = store->last + (sim_chance(3) ? 32 : 0); // as while nextval writes its log
	else if (request->kind == LOOK)
		request->number = store->last; // the holders come later, in a snapshot of their own
	else if (request->kind == DOZE)
		do_doze(store);
	else if (request->kind == SAVE)
		do_save(store, request);
	else if (request->kind == ASIDE)
		letters_set_aside(store, request);
	else if (request->kind == RETRY)
		letters_next(store, request);
	else if (request->kind == RETRY_END)
		letters_end(store, request);
	else if (request->kind == ACQUIRE)
		lease_acquire(store, request);
	else if (request->kind == RENEW)
		lease_give_more(store, request);
	else if (request->kind == RELEASE)
		lease_give_back(store, request);
}

// --- answers ---

static void answer_load(struct sim_store *store, struct request *request, const struct meow_error *err)
{
	const struct row *row = store_row(store, request);
	struct checkpoint loaded = {.subscription = "sim",
		.delivered = row->delivered,
		.position = row->position,
		.fingerprint = row->fingerprint,
		.state = row->there ? row->state : NULL,
		.stop_kept = row->stop_kept,
		.resume_from_store = row->resume,
		.paused = row->paused,
		.generation = row->generation,
		.epoch = row->epoch,
		.reason = *row->reason ? row->reason : NULL,
		.error_position = row->error_position};
	loaded.held = letters_held(store, row, &loaded.dead_letters);
	request->fn.checkpoint(request->arg, err ? NULL : &loaded, err);
}

void serve_answer(struct request *request, const struct meow_error *err)
{
	struct sim_store *store = request->session->store;
	struct session_info info = {.wakes_waiting = true,
		.store.last_position = store->last,
		.store.system_identifier = 1,
		.store.timeline = store->timeline};
	strcpy(info.store.store_id, "00000000-0000-4000-8000-000000000001");
	switch (request->kind) {
	case OPEN:
		request->fn.open(request->arg, err ? NULL : &info, err);
		return;
	case READ: {
		struct session_rows rows = request->rows;
		request->rows.batch = err ? request->rows.batch : NULL;
		request->fn.rows(request->arg, err ? NULL : &rows, err);
		return;
	}
	case HEAD:
		request->fn.head(request->arg, request->number, err);
		return;
	case LOOK: {
		struct session_look look = {request->number, request->holders, request->holder_count};
		request->fn.look(request->arg, err ? NULL : &look, err);
		return;
	}
	case DOZE:
	case RELEASE:
		request->fn.done(request->arg, err);
		return;
	case RETRY:
		request->fn.retry(request->arg, err || !request->retry.place ? NULL : &request->retry, err);
		return;
	case ACQUIRE:
	case RENEW:
		request->fn.lease(request->arg, err ? NULL : &request->leased, err);
		return;
	case FIND: {
		int64_t id = request->number;
		bool there = id >= 1 && id <= store->last && store->events[id - 1]->committed;
		request->fn.event(request->arg, err || !there ? NULL : &store->events[id - 1]->event, err);
		return;
	}
	case LOAD:
		answer_load(store, request, err);
		return;
	case ASIDE:
	case RETRY_END:
	case SAVE: {
		struct meow_error conflict;
		error_set(&conflict, MEOW_CONFLICT, "another's");
		request->fn.done(request->arg, err ? err : request->conflict ? &conflict : NULL);
		return;
	}
	}
}

void serve_free(struct request *request)
{
	batch_destroy(request->rows.batch);
	free(request->fingerprint);
	free(request->letters);
	free(request);
}
