// The event buffer: against a model in random sequences, and each of its guards.
#include "unit.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// The state: a hash over all that was applied, so that a lost, a doubled and a swapped event all show.
struct state {
	uint64_t hash;
	int64_t version;
	bool refuse;
	struct meow_buffer *again; // apply calls back into the buffer
	enum meow_error_kind again_kinds[3];
};

static uint64_t mix(uint64_t hash, struct meow_bytes type, struct meow_bytes data, int64_t version)
{
	hash = text_hash(text_hash(hash, type), data);
	return text_hash(hash, (struct meow_bytes){(const char *)&version, sizeof(version)});
}

static struct meow_new_event new_event(const char *data)
{
	return (struct meow_new_event){.type = MEOW_BYTES("counted"), .data = bytes_of(data), .time_us = MEOW_NO_TIME};
}

static struct meow_event stored_event(int64_t version, const char *data)
{
	return (struct meow_event){.position = 100 + version,
		.version = version,
		.time_us = 1,
		.aggregate_type = MEOW_BYTES("counter"),
		.aggregate_id = MEOW_BYTES("c1"),
		.type = MEOW_BYTES("counted"),
		.data = bytes_of(data)};
}

static bool apply(void *arg, const struct meow_event *event, struct meow_error *err)
{
	struct state *state = arg;
	if (state->again) {
		struct meow_new_event nested = new_event("{}");
		struct meow_event loaded = stored_event(event->version, "{}");
		struct meow_error errors[3];
		assert_false(meow_buffer_emit(state->again, &nested, &errors[0]));
		assert_false(meow_buffer_load(state->again, &loaded, &errors[1]));
		assert_false(meow_buffer_begin_save(state->again, &errors[2]));
		for (size_t i = 0; i < 3; i++)
			state->again_kinds[i] = errors[i].kind;
	}
	if (state->refuse)
		return error_set(err, MEOW_CONFIG, "not now");
	assert_string_equal(event->aggregate_type.data, "counter");
	assert_string_equal(event->aggregate_id.data, "c1");
	state->hash = mix(state->hash, event->type, event->data, event->version);
	state->version = event->version;
	return true;
}

static struct meow_buffer *create(struct state *state, int64_t version)
{
	*state = (struct state){.hash = TEXT_HASH_START, .version = version};
	struct meow_buffer *buffer = meow_buffer_create("counter", "c1", version, apply, state, NULL);
	assert_non_null(buffer);
	return buffer;
}

static void emit(struct meow_buffer *buffer, const char *data)
{
	struct meow_new_event event = new_event(data);
	assert_true(meow_buffer_emit(buffer, &event, NULL));
}

// What the buffer must be, in the plainest form: everything ever applied, and how much of it is stored.
struct model {
	char data[400][8];
	int64_t count, stored;
	bool saving;
};

static void assert_agrees(const struct meow_buffer *buffer, const struct state *state, const struct model *model)
{
	size_t count;
	const struct meow_new_event *pending = meow_buffer_pending(buffer, &count);
	uint64_t hash = TEXT_HASH_START;
	for (int64_t i = 0; i < model->count; i++)
		hash = mix(hash, MEOW_BYTES("counted"), bytes_of(model->data[i]), i);
	assert_true(hash == state->hash);
	assert_int_equal(state->version, model->count - 1);
	assert_int_equal(meow_buffer_version(buffer), model->count - 1);
	assert_int_equal(meow_buffer_stored_version(buffer), model->stored - 1);
	assert_int_equal(count, model->count - model->stored);
	for (size_t i = 0; i < count; i++)
		assert_string_equal(pending[i].data.data, model->data[model->stored + (int64_t)i]);
}

static void random_load(struct meow_buffer *buffer, struct model *model, const char *data, int64_t off)
{
	struct meow_event event = stored_event(model->stored + off, data);
	bool allowed = off == 0 && model->count == model->stored && !model->saving;
	struct meow_error err;
	assert_int_equal(meow_buffer_load(buffer, &event, &err), allowed);
	if (allowed) {
		strcpy(model->data[model->count++], data);
		model->stored = model->count;
	} else {
		assert_int_equal(err.kind, MEOW_INVALID);
	}
}

static void random_emit(struct meow_buffer *buffer, struct state *state, struct model *model, const char *data)
{
	struct meow_error err;
	char passed[8];
	strcpy(passed, data);
	struct meow_new_event event = new_event(passed);
	bool emitted = meow_buffer_emit(buffer, &event, &err);
	memset(passed, 'x', sizeof(passed)); // the buffer has a copy
	assert_int_equal(emitted, !model->saving && !state->refuse);
	if (emitted)
		strcpy(model->data[model->count++], data);
	else
		assert_int_equal(err.kind, model->saving ? MEOW_INVALID : MEOW_CONFIG);
}

static void random_sequences_agree_with_the_model(void **unused)
{
	(void)unused;
	unsigned seed = (unsigned)time(NULL);
	print_message("seed %u\n", seed);
	for (int run = 0; run < 300; run++) {
		struct state state;
		struct model model = {.count = 0};
		struct meow_buffer *buffer = create(&state, -1);
		for (int step = 0; step < 300; step++) {
			char data[8];
			snprintf(data, sizeof(data), "%d", rand_r(&seed) % 100000);
			int choice = rand_r(&seed) % 10;
			state.refuse = choice == 0;
			if (choice <= 4) {
				random_emit(buffer, &state, &model, data);
			} else if (choice <= 6) {
				random_load(buffer, &model, data, rand_r(&seed) % 4 ? 0 : rand_r(&seed) % 5 - 2);
			} else if (choice == 7) {
				assert_int_equal(meow_buffer_begin_save(buffer, NULL), !model.saving);
				model.saving = true;
			} else {
				bool saved = rand_r(&seed) % 2;
				meow_buffer_end_save(buffer, saved);
				if (model.saving && saved)
					model.stored = model.count;
				model.saving = false;
			}
			assert_agrees(buffer, &state, &model);
		}
		meow_buffer_destroy(buffer);
	}
}

static void a_gap_names_the_aggregate_and_both_versions(void **unused)
{
	(void)unused;
	struct state state;
	struct meow_error err;
	struct meow_buffer *buffer = create(&state, 6);
	struct meow_event event = stored_event(9, "{}");
	assert_false(meow_buffer_load(buffer, &event, &err));
	assert_int_equal(err.kind, MEOW_INVALID);
	assert_string_equal(err.text, "counter c1 is at version 6 and was given the event of version 9");
	event = stored_event(7, "{}");
	assert_true(meow_buffer_load(buffer, &event, &err));
	assert_false(meow_buffer_load(buffer, &event, &err)); // the same again
	assert_int_equal(state.version, 7);
	meow_buffer_destroy(buffer);
}

static void a_refused_event_leaves_nothing_behind(void **unused)
{
	(void)unused;
	struct state state;
	struct meow_error err;
	struct meow_buffer *buffer = create(&state, -1);
	size_t count;
	struct meow_new_event event = new_event("{}");
	struct meow_event loaded = stored_event(0, "{}");
	state.refuse = true;
	assert_false(meow_buffer_emit(buffer, &event, &err));
	assert_int_equal(err.kind, MEOW_CONFIG);
	assert_string_equal(err.text, "not now");
	assert_false(meow_buffer_load(buffer, &loaded, &err));
	assert_int_equal(err.kind, MEOW_CONFIG);
	assert_string_equal(err.text, "counter c1, version 0: not now");
	assert_int_equal(meow_buffer_version(buffer), -1);
	(void)meow_buffer_pending(buffer, &count);
	assert_int_equal(count, 0);
	meow_buffer_destroy(buffer);
}

static bool refuse_silently(void *state, const struct meow_event *event, struct meow_error *err)
{
	(void)state, (void)event, (void)err;
	return false;
}

static void a_refusal_without_a_reason_names_the_event(void **unused)
{
	(void)unused;
	struct meow_error err;
	struct meow_buffer *buffer = meow_buffer_create("counter", "c1", -1, refuse_silently, NULL, NULL);
	struct meow_new_event event = new_event("{}");
	assert_false(meow_buffer_emit(buffer, &event, &err));
	assert_int_equal(err.kind, MEOW_INVALID);
	assert_string_equal(err.text, "counted was refused");
	meow_buffer_destroy(buffer);
}

static void what_apply_calls_back_is_refused(void **unused)
{
	(void)unused;
	struct state state;
	struct meow_buffer *buffer = create(&state, -1);
	state.again = buffer;
	emit(buffer, "{}");
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(state.again_kinds[i], MEOW_INVALID);
	assert_int_equal(meow_buffer_version(buffer), 0);
	meow_buffer_destroy(buffer);
}

static void what_can_never_be_stored_is_refused_at_once(void **unused)
{
	(void)unused;
	struct state state;
	struct meow_error err;
	struct meow_buffer *buffer = create(&state, -1);
	struct meow_new_event event = new_event(NULL);
	assert_false(meow_buffer_emit(buffer, &event, &err));
	assert_int_equal(err.kind, MEOW_INVALID);
	assert_string_equal(err.text, "the event has no data");
	event = new_event("\"\xff\"");
	assert_false(meow_buffer_emit(buffer, &event, &err));
	assert_int_equal(err.kind, MEOW_INVALID);
	assert_int_equal(state.version, -1);
	assert_null(meow_buffer_create("counter", "", -1, apply, &state, &err));
	assert_int_equal(err.kind, MEOW_INVALID);
	assert_null(meow_buffer_create("counter", "c1", -2, apply, &state, &err));
	assert_int_equal(err.kind, MEOW_INVALID);
	meow_buffer_destroy(buffer);
	meow_buffer_destroy(NULL);
}

static void what_is_pending_is_bounded_in_bytes(void **unused)
{
	(void)unused;
	struct state state;
	struct meow_error err;
	struct meow_buffer *buffer = create(&state, -1);
	size_t size = MEOW_PENDING_BYTES_MOST + 1;
	char *data = malloc(size + 1);
	assert_non_null(data);
	memset(data, '1', size);
	data[size] = '\0';
	emit(buffer, data); // one alone may be of any size
	struct meow_new_event small = new_event("1");
	assert_false(meow_buffer_emit(buffer, &small, &err));
	assert_int_equal(err.kind, MEOW_INVALID);
	assert_int_equal(meow_buffer_version(buffer), 0);
	assert_true(meow_buffer_begin_save(buffer, NULL));
	meow_buffer_end_save(buffer, true);
	emit(buffer, "1"); // there is room again
	data[size / 2] = '\0';
	emit(buffer, data);
	struct meow_new_event half = new_event(data);
	assert_false(meow_buffer_emit(buffer, &half, &err));
	assert_int_equal(meow_buffer_version(buffer), 2);
	free(data);
	meow_buffer_destroy(buffer);
}

static void metadata_and_time_are_kept(void **unused)
{
	(void)unused;
	struct state state;
	struct meow_buffer *buffer = create(&state, -1);
	struct meow_new_event event = new_event("{\"a\":1}xx");
	size_t count;
	event.data.size -= 2; // not ended by a NUL
	event.metadata = MEOW_BYTES("{\"by\":\"me\"}");
	event.time_us = 5;
	assert_true(meow_buffer_emit(buffer, &event, NULL));
	emit(buffer, "{}");
	const struct meow_new_event *pending = meow_buffer_pending(buffer, &count);
	assert_int_equal(count, 2);
	assert_string_equal(pending[0].data.data, "{\"a\":1}");
	assert_string_equal(pending[0].metadata.data, "{\"by\":\"me\"}");
	assert_int_equal(pending[0].time_us, 5);
	assert_null(pending[1].metadata.data);
	assert_true(pending[1].time_us == MEOW_NO_TIME);
	meow_buffer_destroy(buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_sequences_agree_with_the_model),
		cmocka_unit_test(a_gap_names_the_aggregate_and_both_versions),
		cmocka_unit_test(a_refused_event_leaves_nothing_behind),
		cmocka_unit_test(a_refusal_without_a_reason_names_the_event),
		cmocka_unit_test(what_apply_calls_back_is_refused),
		cmocka_unit_test(what_can_never_be_stored_is_refused_at_once),
		cmocka_unit_test(what_is_pending_is_bounded_in_bytes),
		cmocka_unit_test(metadata_and_time_are_kept),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
