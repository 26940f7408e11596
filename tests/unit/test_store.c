// The pure parts of the store: batches, fingerprints, and how far a list of lock holders lets a reader go.
#include "unit.h"

#include "base/text.h"
#include "store/batch.h"
#include "store/fingerprint.h"
#include "store/postgres/pg_names.h"
#include "store/settled.h"

#include <stdlib.h>
#include <string.h>

static struct meow_event an_event(int64_t position, const char *data)
{
	return (struct meow_event){.position = position,
		.version = 3,
		.time_us = MEOW_NO_TIME,
		.transaction_id = 77,
		.aggregate_type = MEOW_BYTES("order"),
		.aggregate_id = MEOW_BYTES("o 1"),
		.type = MEOW_BYTES("placed"),
		.data = bytes_of(data)};
}

static void batch_copies_and_keeps_absent_bytes_absent(void **state)
{
	(void)state;
	struct batch *batch = batch_create();
	char data[] = "{\"a\":1}";
	for (int i = 0; i < 5000; i++) {
		struct meow_event event = an_event(i + 1, data);
		assert_true(batch_add(batch, &event));
	}
	memset(data, 'x', sizeof(data) - 1);
	assert_int_equal(batch->count, 5000);
	assert_string_equal(batch->events[4999].data.data, "{\"a\":1}");
	assert_null(batch->events[0].metadata.data);
	assert_true(batch->bytes > 5000 * sizeof(struct meow_event));
	batch_cut(batch, 2);
	assert_int_equal(batch->count, 2);
	batch_destroy(batch);
	batch_destroy(NULL);
}

static void batch_releases_owners(void **state)
{
	(void)state;
	struct batch *batch = batch_create();
	char *owner = malloc(100);
	strcpy(owner, "[]");
	struct meow_event event = an_event(1, owner);
	size_t before = batch->bytes;
	assert_true(batch_add_owned(batch, &event, owner, 100, free));
	assert_ptr_equal(batch->events[0].data.data, owner);
	assert_true(batch->bytes >= before + 100);
	batch_destroy(batch); // the sanitizer says if the owner stayed
}

static struct store_identity an_identity(void)
{
	return (struct store_identity){.store_id = "6f1c0f0e-0000-4000-8000-000000000001",
		.system_identifier = UINT64_MAX,
		.timeline = 2,
		.last_position = 100};
}

static void fingerprint_reads_what_it_writes(void **state)
{
	(void)state;
	struct store_identity store = an_identity();
	struct meow_event event = an_event(42, "{}");
	char *text = fingerprint_text(&store, &event);
	struct fingerprint read;
	assert_true(fingerprint_parse(bytes_of(text), &read));
	assert_string_equal(read.store_id, store.store_id);
	assert_true(read.system_identifier == UINT64_MAX && read.timeline == 2 && read.position == 42);
	assert_true(read.version == 3 && read.transaction_id == 77);
	assert_true(bytes_equal(read.aggregate_id, MEOW_BYTES("o 1")));
	assert_int_equal(fingerprint_compare(&read, &store, &event, NULL), FINGERPRINT_SAME);
	free(text);
	static const char *const bad[] = {"", "1", "2 a 1 1 1 1 1 0 x", "1 a b c d", "1 a 1 1 x 1 1 0 id",
		"1 a 1 1 1 1 1 00000000000000ff", "1 a -1 1 1 1 1 00000000000000ff id", "1 a 1 +1 1 1 1 00000000000000ff id",
		"1 a 1 1 1 1 01 00000000000000ff id", "1 a 18446744073709551616 1 1 1 1 00000000000000ff id",
		"1 a 1 1 1 1 1 ff id"};
	assert_false(fingerprint_parse(MEOW_BYTES("1 a\0b 1 1 1 1 1 00000000000000ff id"), &read));
	assert_true(fingerprint_parse(MEOW_BYTES("1 a 1 1 1 -1 1 00000000000000ff id"), &read));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(fingerprint_parse(bytes_of(bad[i]), &read));
}

static void fingerprint_of_a_line_knows_what_the_line_shows(void **state)
{
	(void)state;
	struct store_identity store = an_identity();
	struct meow_event event = an_event(42, " {\r\n}\n");
	char text[FINGERPRINT_LINE_SIZE];
	struct fingerprint read;
	struct meow_error err;
	struct meow_event line = event;
	line.data = bytes_of("{  }");
	line.transaction_id = 0;
	fingerprint_line_text(&line, text);
	assert_true(fingerprint_parse(bytes_of(text), &read));
	assert_true(read.of_line && read.position == 42 && read.version == 3);
	assert_int_equal(fingerprint_compare(&read, &store, &event, NULL), FINGERPRINT_SAME);
	assert_int_equal(fingerprint_compare(&read, &store, NULL, &err), FINGERPRINT_SAME); // merely deleted
	struct meow_event others[4] = {event, event, event, event};
	others[0].data = bytes_of("{}");
	others[1].version++;
	others[2].time_us++;
	others[3].aggregate_id = bytes_of("o 2");
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(fingerprint_compare(&read, &store, &others[i], &err), FINGERPRINT_BEHIND);
	store.last_position = 41;
	assert_int_equal(fingerprint_compare(&read, &store, NULL, &err), FINGERPRINT_BEHIND);
	assert_false(fingerprint_parse(MEOW_BYTES("2 1 1 1 0"), &read));
	assert_false(fingerprint_parse(MEOW_BYTES("2 1 1 1 0123456789abcdef 0123456789abcdef x"), &read));
}

static void fingerprint_notices_a_store_behind_its_sinks(void **state)
{
	(void)state;
	struct store_identity store = an_identity();
	struct meow_event event = an_event(42, "{}");
	char *text = fingerprint_text(&store, &event);
	struct fingerprint read;
	assert_true(fingerprint_parse(bytes_of(text), &read));
	struct meow_error err;

	struct meow_event other = an_event(42, "{ }"); // the id was drawn a second time
	assert_int_equal(fingerprint_compare(&read, &store, &other, &err), FINGERPRINT_BEHIND);
	other = event;
	other.transaction_id++;
	assert_int_equal(fingerprint_compare(&read, &store, &other, &err), FINGERPRINT_BEHIND);

	assert_int_equal(fingerprint_compare(&read, &store, NULL, &err), FINGERPRINT_SAME); // merely deleted
	store.timeline = 3;
	assert_int_equal(fingerprint_compare(&read, &store, NULL, &err), FINGERPRINT_BEHIND);
	assert_int_equal(fingerprint_compare(&read, &store, &event, &err), FINGERPRINT_SAME); // promoted with its tail
	store.timeline = 2;
	store.last_position = 41;
	assert_int_equal(fingerprint_compare(&read, &store, NULL, &err), FINGERPRINT_BEHIND);
	assert_non_null(strstr(err.text, "42"));
	free(text);
}

// A scripted list of lock holders: their names, one letter each.
static void look(struct settled *settled, int64_t candidate, const char *holders)
{
	struct session_holder list[26];
	size_t count = strlen(holders);
	for (size_t i = 0; i < count; i++)
		list[i] = (struct session_holder){.id = {holders[i], '\0'}, .age_us = -1};
	assert_true(settled_look(settled, &(struct session_look){candidate, list, count}));
}

static void nobody_holds_so_the_candidate_is_settled(void **state)
{
	(void)state;
	struct settled *settled = settled_create();
	assert_int_equal(settled_position(settled), 0);
	look(settled, 10, "");
	assert_int_equal(settled_position(settled), 10);
	settled_destroy(settled);
}

static void a_holder_that_began_later_does_not_matter(void **state)
{
	(void)state;
	struct settled *settled = settled_create();
	look(settled, 10, "ab");
	assert_int_equal(settled_position(settled), 0);
	look(settled, 20, "bc"); // a ended: b holds 10 back
	assert_int_equal(settled_position(settled), 0);
	look(settled, 30, "cd"); // b ended: 10 is settled; c was there at 20
	assert_int_equal(settled_position(settled), 10);
	look(settled, 40, "de"); // c ended: 20; d was there at 30
	assert_int_equal(settled_position(settled), 20);
	look(settled, 50, "ef");
	assert_int_equal(settled_position(settled), 30);
	look(settled, 60, "");
	assert_int_equal(settled_position(settled), 60);
	assert_int_equal(settled_holder_count(settled), 0);
	settled_destroy(settled);
}

static void a_long_holder_is_named_and_keeps_everything_back(void **state)
{
	(void)state;
	struct settled *settled = settled_create();
	look(settled, 5, "");
	look(settled, 10, "z");
	look(settled, 20, "az");
	look(settled, 30, "abz");
	assert_int_equal(settled_position(settled), 5); // settled before z appeared
	assert_string_equal(settled_oldest_holder(settled)->id, "z");
	look(settled, 40, "b");
	assert_int_equal(settled_position(settled), 20); // b was first seen at 30
	settled_destroy(settled);
}

static void a_restart_forgets_who_was_seen_but_not_what_was_settled(void **state)
{
	(void)state;
	struct settled *settled = settled_create();
	look(settled, 10, "");
	look(settled, 20, "a");
	settled_restart(settled); // "a" may now go by another name
	look(settled, 30, "b");
	assert_int_equal(settled_position(settled), 10);
	look(settled, 40, "");
	assert_int_equal(settled_position(settled), 40);
	look(settled, 7, ""); // a sequence that went back never takes the position back
	assert_int_equal(settled_position(settled), 40);
	settled_advance(settled, 50);
	assert_int_equal(settled_position(settled), 50);
	settled_destroy(settled);
}

// The shortcut of settled.c against its definition: a look is settled when all of its holders have ended.
static void random_histories_agree_with_the_definition(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 300; seed++) {
		srand(seed);
		struct settled *settled = settled_create();
		char looks[40][27];
		int64_t candidates[40], expected = 0;
		bool holds[26] = {false}, used[26] = {false};
		for (int n = 0; n < 40; n++) {
			for (int h = 0; h < 26; h++) {
				if (holds[h] && rand() % 3 == 0)
					holds[h] = false;
				else if (!used[h] && rand() % 12 == 0)
					holds[h] = used[h] = true;
			}
			size_t count = 0;
			for (int h = 0; h < 26; h++)
				if (holds[h])
					looks[n][count++] = (char)('a' + h);
			looks[n][count] = '\0';
			candidates[n] = n * 10 + rand() % 10;
			look(settled, candidates[n], looks[n]);
			for (int past = 0; past <= n; past++) {
				bool over = strpbrk(looks[past], looks[n]) == NULL;
				if (over && candidates[past] > expected)
					expected = candidates[past];
			}
			assert_int_equal(settled_position(settled), expected);
		}
		settled_destroy(settled);
	}
}

static void tables_of_other_names_take_their_place(void **state)
{
	(void)state;
	static const struct pg_rename renames[] = {
		{"es_events", "es_event"}, {"es_events_id_seq", "\"it's\".\"seq\""}, {"es_aggregates", "es_aggregate"}};
	static const char *const texts[][2] = {
		{"", ""},
		{"SELECT 1", "SELECT 1"},
		{"FROM es_events e, es_aggregates", "FROM es_event e, es_aggregate"},
		{"es_events.id", "es_event.id"},
		{"x.es_events, es_events2, my_es_events, es_event", "x.es_events, es_events2, my_es_events, es_event"},
		{"'es_events_id_seq'::regclass, es_events_id_seq", "'\"it''s\".\"seq\"'::regclass, \"it's\".\"seq\""},
		{"-- the aggregate's es_events\n'es_events'", "-- the aggregate's es_events\n'es_event'"},
		{"AS $$ SELECT '--es_events' $$ -- es_events", "AS $$ SELECT '--es_event' $$ -- es_events"},
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		struct buffer out;
		buffer_init(&out);
		pg_render(&out, texts[i][0], renames, 3);
		assert_false(out.failed);
		assert_string_equal(out.data ? out.data : "", texts[i][1]);
		buffer_finish(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(batch_copies_and_keeps_absent_bytes_absent),
		cmocka_unit_test(batch_releases_owners),
		cmocka_unit_test(fingerprint_reads_what_it_writes),
		cmocka_unit_test(fingerprint_of_a_line_knows_what_the_line_shows),
		cmocka_unit_test(fingerprint_notices_a_store_behind_its_sinks),
		cmocka_unit_test(nobody_holds_so_the_candidate_is_settled),
		cmocka_unit_test(a_holder_that_began_later_does_not_matter),
		cmocka_unit_test(a_long_holder_is_named_and_keeps_everything_back),
		cmocka_unit_test(a_restart_forgets_who_was_seen_but_not_what_was_settled),
		cmocka_unit_test(random_histories_agree_with_the_definition),
		cmocka_unit_test(tables_of_other_names_take_their_place),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
