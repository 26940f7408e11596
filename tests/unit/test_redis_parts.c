// The parts of the Redis connector that need no server: urls, the record of a batch, streams, error replies.
#include "unit.h"

#include "base/text.h"
#include "connectors/redis/redis_error.h"
#include "connectors/redis/redis_info.h"
#include "connectors/redis/redis_part.h"

#include <stdio.h>
#include <string.h>

static void test_a_url_is_taken_apart(void **state)
{
	(void)state;
	struct redis_url url;
	assert_true(redis_url_parse("redis://us%65r:p%40%3A%2F@example.org:7000/12", &url, NULL));
	assert_int_equal(url.host_count, 1);
	assert_string_equal(url.hosts[0].name, "example.org");
	assert_int_equal(url.hosts[0].port, 7000);
	assert_null(url.master);
	assert_int_equal(url.database, 12);
	assert_string_equal(url.user, "user");
	assert_string_equal(url.password, "p@:/");
	assert_string_equal(url.place, "example.org:7000");
	redis_url_finish(&url);
	assert_true(redis_url_parse("redis://[::1]", &url, NULL));
	assert_string_equal(url.hosts[0].name, "::1");
	assert_string_equal(url.place, "[::1]:6379");
	assert_int_equal(url.database, 0);
	assert_null(url.password);
	redis_url_finish(&url);
	assert_true(redis_url_parse("redis://:only%20password@h/", &url, NULL));
	assert_null(url.user);
	assert_string_equal(url.password, "only password");
	redis_url_finish(&url);
}

static void test_a_url_names_sentinels_and_their_master(void **state)
{
	(void)state;
	struct redis_url url;
	assert_true(redis_url_parse("redis+sentinel://relay:pw@b,[::1]:7,a:26380/my%2Fmaster/3", &url, NULL));
	assert_int_equal(url.host_count, 3);
	assert_string_equal(url.place, "[::1]:7,a:26380,b:26379/my/master"); // sorted: the order means nothing
	assert_string_equal(url.master, "my/master");
	assert_string_equal(url.user, "relay");
	assert_int_equal(url.database, 3);
	assert_int_equal(url.hosts[2].port, 26379);
	redis_url_finish(&url);
	assert_true(redis_url_parse("redis+sentinel://a/m", &url, NULL));
	assert_int_equal(url.database, 0);
	assert_string_equal(url.place, "a:26379/m");
	redis_url_finish(&url);
}

static void test_a_broken_url_is_refused_without_its_password(void **state)
{
	(void)state;
	static const char *const broken[] = {"redis://:s3cret@", "redis://:s3cret%@h", "redis://:s3cret%4",
		"redis://:s3cret@h:x", "redis://:s3cret@h/x", "redis://:s3cret@h:70000", "redis://:s3cret@[::1",
		"redis://:s3cret@::1", "redis://:s3cret@h?tls", "redis://:s3cret@h:6379/99999999999999999999",
		"redis://u%00:s3cret@h", "redis://:s3cret@h,i/0", "redis+sentinel://:s3cret@h", "redis+sentinel://:s3cret@h/",
		"redis+sentinel://:s3cret@h,/m", "redis+sentinel://:s3cret@,h/m", "redis+sentinel://:s3cret@/m",
		"redis+sentinel://:s3cret@h/m/x", "redis+sentinel://:s3cret@h:0/m", "redis+sentinel://:s3cret@h/m/0/1",
		"redis+sentinel://:s3cret@h/%zz", "redis+sentinel://:s3cret@1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17/m",
		"redis+cluster://:s3cret@h"};
	for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
		struct redis_url url;
		struct meow_error err = {0};
		if (redis_url_parse(broken[i], &url, &err))
			fail_msg("%s was taken", broken[i]);
		assert_int_equal(err.kind, MEOW_CONFIG);
		if (strstr(err.text, "s3cret") != NULL)
			fail_msg("%s", err.text);
	}
}

static void test_tls_is_there_or_said_to_be_missing(void **state)
{
	(void)state;
	struct redis_url url;
	struct meow_error err = {0};
	bool taken = redis_url_parse("rediss://:s3cret@h", &url, &err);
	assert_int_equal(taken, redis_tls_is_built());
	if (taken) {
		assert_true(url.tls);
		redis_url_finish(&url);
	} else {
		assert_int_equal(err.kind, MEOW_CONFIG);
		assert_non_null(strstr(err.text, "this build cannot do"));
		assert_null(strstr(err.text, "s3cret"));
	}
}

static void test_info_is_read_by_name(void **state)
{
	(void)state;
	struct meow_bytes info = MEOW_BYTES("# Server\r\nredis_version:6.0.16\r\nxredis_version:1\r\nempty:\r\nlast:7");
	assert_true(bytes_equal(redis_info_value(info, "redis_version"), MEOW_BYTES("6.0.16")));
	assert_true(bytes_equal(redis_info_value(info, "last"), MEOW_BYTES("7")));
	assert_int_equal(redis_info_value(info, "empty").size, 0);
	assert_null(redis_info_value(info, "version").data);
	assert_null(redis_info_value(info, "redis").data);
	assert_true(redis_info_is_older(info, 6, 2));
	assert_true(redis_info_is_older(info, 7, 0));
	assert_false(redis_info_is_older(info, 6, 0));
	assert_false(redis_info_is_older(info, 5, 2));
	assert_false(redis_info_is_older(MEOW_BYTES("redis_version:x\n"), 6, 2));
	assert_false(redis_info_is_older(MEOW_BYTES(""), 6, 2));
}

static void test_the_record_of_a_batch_is_read_back(void **state)
{
	(void)state;
	static const struct {
		size_t stream;
		int64_t position;
	} entries[] = {{0, 5}, {1, 6}, {1, 7}, {0, 1000000}, {2, 1000001}, {0, INT64_MAX}};
	struct proof_writer writer;
	struct proof proof;
	proof_writer_init(&writer);
	proof_add_stream(&writer, MEOW_BYTES("events"));
	proof_add_stream(&writer, MEOW_BYTES("3:with 1@2"));
	proof_add_stream(&writer, MEOW_BYTES(""));
	for (size_t i = 0; i < 6; i++)
		proof_add_entry(&writer, entries[i].stream, entries[i].position);
	assert_string_equal(writer.entries.data, "5 1@1 1 999993@0 1@2 9223372036853775806@0");
	assert_true(proof_init(&proof, (struct meow_bytes){writer.streams.data, writer.streams.size},
		(struct meow_bytes){writer.entries.data, writer.entries.size}));
	assert_int_equal(proof.count, 3);
	assert_true(bytes_equal(proof.streams[1].name, MEOW_BYTES("3:with 1@2")));
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(proof_next(&proof), PROOF_ENTRY);
		assert_int_equal(proof.stream, entries[i].stream);
		assert_int_equal(proof.position, entries[i].position);
	}
	assert_int_equal(proof_next(&proof), PROOF_END);
	proof_finish(&proof);
	proof_writer_finish(&writer);
}

static int reallocs_left = -1; // until one fails; below 0: none does

void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size)
{
	return reallocs_left >= 0 && reallocs_left-- == 0 ? NULL : __real_realloc(memory, size);
}

static void test_a_record_that_memory_is_missing_for_is_not_called_foreign(void **state)
{
	(void)state;
	struct proof proof;
	int failures = 0;
	for (bool read = false; !read; failures += !read) {
		reallocs_left = failures;
		read = proof_init(&proof, MEOW_BYTES("1:a1:b"), MEOW_BYTES("5 1@1"));
		reallocs_left = -1;
		assert_int_equal(proof.no_memory, !read);
	}
	assert_true(failures >= 3); // its text, and each stream
	proof_finish(&proof);
}

static void test_a_foreign_record_is_broken_and_nothing_else(void **state)
{
	(void)state;
	static const char *const streams[] = {"6:event", "x:a", "-1:", "99999999999999999999:a", "5"};
	for (size_t i = 0; i < sizeof(streams) / sizeof(*streams); i++) {
		struct proof proof;
		assert_false(proof_init(&proof, bytes_of(streams[i]), MEOW_BYTES("1")));
		assert_false(proof.no_memory);
	}
	static const char *const entries[] = {
		"x", "0", "-5", "1@1", "1@x", "1@-1", "@", " 1", "9223372036854775807 1", "1@0@0"};
	for (size_t i = 0; i < sizeof(entries) / sizeof(*entries); i++) {
		struct proof proof;
		enum proof_step step;
		assert_true(proof_init(&proof, MEOW_BYTES("1:a"), bytes_of(entries[i])));
		while ((step = proof_next(&proof)) == PROOF_ENTRY)
			;
		if (step != PROOF_BROKEN)
			fail_msg("\"%s\" was taken", entries[i]);
		proof_finish(&proof);
	}
}

static void test_streams_are_found_again_and_forgotten_when_nobody_uses_them(void **state)
{
	(void)state;
	struct streams *streams = streams_create(100, false);
	assert_non_null(streams);
	struct stream *used = streams_get(streams, MEOW_BYTES("used"));
	assert_non_null(used);
	used->uses = 1;
	used->known = true;
	assert_ptr_equal(streams_get(streams, MEOW_BYTES("used")), used);
	assert_string_equal(used->head.data, "$4\r\nXADD\r\n$4\r\nused\r\n$6\r\nMAXLEN\r\n$1\r\n~\r\n$3\r\n100\r\n");
	assert_int_equal(used->head_count, 5);
	struct streams *exact = streams_create(7, true);
	assert_non_null(exact);
	assert_non_null(strstr(streams_get(exact, MEOW_BYTES("s"))->head.data, "MAXLEN\r\n$1\r\n=\r\n$1\r\n7\r\n"));
	streams_destroy(exact);
	struct stream *kept = streams_get(streams, MEOW_BYTES("not used"));
	kept->known = true;
	streams_tidy(streams); // few: all stay
	assert_true(streams_get(streams, MEOW_BYTES("not used"))->known);
	for (int i = 0; i < 10000; i++) {
		char name[32];
		snprintf(name, sizeof(name), "s%d", i);
		assert_non_null(streams_get(streams, bytes_of(name)));
	}
	streams_tidy(streams);
	assert_false(streams_get(streams, MEOW_BYTES("not used"))->known);
	assert_true(streams_get(streams, MEOW_BYTES("used"))->known);
	streams_destroy(streams);
}

static void test_an_entry_id_is_two_numbers(void **state)
{
	(void)state;
	uint64_t first, second;
	assert_true(redis_entry_id(MEOW_BYTES("18446744073709551615-7"), &first, &second));
	assert_true(first == UINT64_MAX && second == 7);
	static const char *const wrong[] = {"", "1", "1-", "-1", "1-2-3", "a-1", "1- 2"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_false(redis_entry_id(bytes_of(wrong[i]), &first, &second));
}

static void test_an_error_reply_says_what_to_do(void **state)
{
	(void)state;
	static const struct {
		const char *reply;
		enum meow_error_kind kind;
	} replies[] = {
		{"OOM command not allowed when used memory > 'maxmemory'.", MEOW_UNAVAILABLE},
		{"EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica.",
			MEOW_UNAVAILABLE},
		{"WRONGTYPE Operation against a key holding the wrong kind of value", MEOW_CONFIG},
		{"MOVED 3999 127.0.0.1:6381", MEOW_CONFIG},
		{"NOAUTH Authentication required.", MEOW_DENIED},
		{"SOMETHING new", MEOW_UNAVAILABLE},
	};
	for (size_t i = 0; i < sizeof(replies) / sizeof(*replies); i++) {
		struct meow_error err;
		assert_false(redis_error(&err, "h:1", "a batch", replies[i].reply));
		assert_int_equal(err.kind, replies[i].kind);
		assert_non_null(strstr(err.text, "Redis at h:1 refused a batch"));
		assert_true(memcmp(strchr(err.text, '(') == NULL ? strrchr(err.text, ':') + 2 : strchr(err.text, '(') + 1,
						replies[i].reply, 6) == 0);
	}
	assert_false(redis_error_is("OOMPH is something else", "OOM"));
}

int main(void)
{
	const struct CMUnitTest cases[] = {
		cmocka_unit_test(test_a_url_is_taken_apart),
		cmocka_unit_test(test_a_url_names_sentinels_and_their_master),
		cmocka_unit_test(test_a_broken_url_is_refused_without_its_password),
		cmocka_unit_test(test_tls_is_there_or_said_to_be_missing),
		cmocka_unit_test(test_info_is_read_by_name),
		cmocka_unit_test(test_the_record_of_a_batch_is_read_back),
		cmocka_unit_test(test_a_foreign_record_is_broken_and_nothing_else),
		cmocka_unit_test(test_a_record_that_memory_is_missing_for_is_not_called_foreign),
		cmocka_unit_test(test_streams_are_found_again_and_forgotten_when_nobody_uses_them),
		cmocka_unit_test(test_an_entry_id_is_two_numbers),
		cmocka_unit_test(test_an_error_reply_says_what_to_do),
	};
	return cmocka_run_group_tests_name("redis parts", cases, NULL, NULL);
}
