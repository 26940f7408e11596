// The file connector: the contract, and what only a file can meet: torn ends, rotation, a second writer, a full disk.
#include "contract.h"

#include "base/text.h"
#include "connectors/file/file.h"
#include "relay/envelope.h"
#include "support/server.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LONG_MS 30000

struct place {
	char folder[200], path[256], other[256];
	int turn;
};

static void file_fresh(void *arg, struct contract_settings *settings)
{
	struct place *place = arg;
	snprintf(place->folder, sizeof(place->folder), "%s/%d", scratch_folder(), place->turn++);
	assert_int_equal(mkdir(place->folder, 0700), 0);
	snprintf(place->path, sizeof(place->path), "%s/events.jsonl", place->folder);
	snprintf(place->other, sizeof(place->other), "%s/events.jsonl.1", place->folder);
	contract_set(settings, "path", place->path);
}

static void read_lines(const char *path, struct contract_log *log)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	ssize_t size;
	struct buffer scratch;
	buffer_init(&scratch);
	while (file != NULL && (size = getline(&line, &room, file)) > 0) {
		struct envelope_line read;
		struct meow_error err;
		assert_int_equal(line[size - 1], '\n');
		buffer_clear(&scratch, SIZE_MAX);
		if (!envelope_read((struct meow_bytes){line, (size_t)size - 1}, &scratch, &read, &err))
			fail_msg("%s: %s", path, err.text);
		contract_log_add(log, &(struct contract_entry){read.position, read.version, read.aggregate_type,
								  read.aggregate_id, read.type, read.data});
	}
	if (file != NULL)
		fclose(file);
	free(line);
	buffer_finish(&scratch);
}

// Both parts of a rotated file, the older one first.
static void file_read(void *arg, struct contract_log *log)
{
	const struct place *place = arg;
	read_lines(place->other, log);
	read_lines(place->path, log);
}

static off_t file_size(const char *path)
{
	struct stat status;
	assert_int_equal(stat(path, &status), 0);
	return status.st_size;
}

static void file_tear(void *arg)
{
	const struct place *place = arg;
	assert_int_equal(truncate(place->path, file_size(place->path) - 20), 0);
}

static struct place place;

static const struct contract_sink file_sink = {
	.impl = &file_connector,
	.arg = &place,
	.fresh = file_fresh,
	.read = file_read,
	.tear = file_tear,
	.keeps_memory = true,
	.total_order = true,
};

struct fixture {
	struct contract_settings *settings;
	struct contract_relay relay;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	assert_non_null(fixture);
	fixture->settings = contract_settings_create(&file_connector);
	file_fresh(&place, fixture->settings);
	contract_relay_init(&fixture->relay, &file_sink, fixture->settings);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	contract_relay_finish(&fixture->relay);
	contract_settings_destroy(fixture->settings);
	free(fixture);
	return 0;
}

// Begins anew with another path.
static void use_path(struct fixture *fixture, const char *path)
{
	contract_relay_finish(&fixture->relay);
	contract_settings_destroy(fixture->settings);
	fixture->settings = contract_settings_create(&file_connector);
	contract_set(fixture->settings, "path", path);
	contract_relay_init(&fixture->relay, &file_sink, fixture->settings);
}

static void append(const char *path, const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), (ssize_t)size);
	close(fd);
}

static void append_event(const char *path, int64_t position)
{
	struct contract_texts texts;
	struct meow_event event = contract_event(position, &texts);
	struct buffer line;
	buffer_init(&line);
	envelope_write(&line, &event, 0);
	buffer_put_char(&line, '\n');
	append(path, line.data, line.size);
	buffer_finish(&line);
}

static void open_until_over(struct contract_relay *relay)
{
	assert_true(contract_open(relay));
	assert_true(contract_wait(relay, contract_is_open, LONG_MS));
}

static void assert_failed(const struct contract_relay *relay, enum meow_error_kind kind, const char *text)
{
	assert_true(relay->failed);
	if (relay->error.kind != kind || strstr(relay->error.text, text) == NULL)
		fail_msg("kind %d, text: %s", (int)relay->error.kind, relay->error.text);
}

static void assert_notice(const struct contract_relay *relay, const char *text)
{
	if (relay->notices == 0 || strstr(relay->notice, text) == NULL)
		fail_msg("%d notices, the last: %s", relay->notices, relay->notice);
}

// 50 events are there, of which the checkpoint knows 40; then `bytes` are added, and 100 must be there in the end.
static void resume_behind(struct contract_relay *relay, const char *bytes, size_t size, bool then_event)
{
	assert_true(contract_publish(relay, 50, LONG_MS));
	contract_close(relay);
	append(place.path, bytes, size);
	if (then_event)
		append_event(place.path, 51);
	relay->mark = 40;
	assert_true(contract_publish(relay, 100, LONG_MS));
	assert_notice(relay, "cut off");
	contract_check(relay, 100);
}

static void test_zeros_before_a_line_are_cut_off_with_it(void **state)
{
	struct fixture *fixture = *state;
	static const char zeros[5000];
	resume_behind(&fixture->relay, zeros, sizeof(zeros), true);
}

static void test_a_line_that_is_no_json_is_cut_off(void **state)
{
	struct fixture *fixture = *state;
	static const char text[] = "{\"position\":51,\"aggregate_type\":\"order\",oops\n";
	resume_behind(&fixture->relay, text, sizeof(text) - 1, true);
}

static void test_a_position_that_does_not_rise_is_cut_off(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	contract_close(relay);
	append_event(place.path, 50);
	append_event(place.path, 51);
	relay->mark = 50;
	assert_true(contract_publish(relay, 60, LONG_MS));
	contract_check(relay, 60);
}

static void test_a_file_of_nothing_but_a_torn_line_begins_anew(void **state)
{
	struct fixture *fixture = *state;
	append(place.path, "{\"pos", 5);
	assert_true(contract_publish(&fixture->relay, 10, LONG_MS));
	contract_check(&fixture->relay, 10);
}

static void test_lines_longer_than_any_buffer_are_found_again(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	size_t size = 3 * 1024 * 1024;
	char *data = malloc(size + 1);
	assert_non_null(data);
	memset(data, 'x', size);
	data[0] = data[size - 1] = '"';
	open_until_over(relay);
	for (int64_t position = 1; position <= 3; position++) {
		struct contract_texts texts;
		struct meow_event event = contract_event(position, &texts);
		event.data = (struct meow_bytes){data, size};
		struct batch *batch = batch_create();
		assert_true(batch != NULL && batch_add(batch, &event));
		batch->position = position;
		contract_send(relay, batch);
	}
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	assert_int_equal(relay->mark, 3);
	contract_close(relay);
	relay->mark = 1;
	open_until_over(relay);
	assert_true(relay->opened && relay->memory_kind == MEMORY_HELD);
	assert_int_equal(relay->memory_delivered, 3);
	free(data);
}

static void test_a_foreign_file_is_left_as_it_is(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	static const char text[] = "root:x:0:0:root:/root:/bin/bash\n";
	append(place.path, text, sizeof(text) - 1);
	open_until_over(relay);
	assert_failed(relay, MEOW_CONFIG, "something else than meowmx events");
	assert_int_equal(file_size(place.path), sizeof(text) - 1);
}

static void test_a_file_that_ends_below_the_checkpoint_is_said_and_goes_on(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	contract_close(relay);
	relay->mark = 80;
	open_until_over(relay);
	assert_true(relay->opened && relay->memory_kind == MEMORY_HELD);
	assert_int_equal(relay->memory_delivered, 50);
	assert_notice(relay, "rotated");
	relay->sink->impl->begin(relay->connector, 80, NULL);
	contract_send(relay, contract_batch(81, 5));
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	assert_int_equal(relay->mark, 85);
}

static void test_a_missing_file_is_said_and_goes_on(void **state)
{
	struct fixture *fixture = *state;
	fixture->relay.mark = 80;
	open_until_over(&fixture->relay);
	assert_true(fixture->relay.opened && fixture->relay.memory_kind == MEMORY_EMPTY);
	assert_notice(&fixture->relay, "is empty");
}

static void test_an_older_generation_does_not_count(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	contract_close(relay);
	relay->generation = 2;
	relay->mark = 0;
	open_until_over(relay);
	assert_true(relay->opened && relay->memory_kind == MEMORY_NONE);
	relay->sink->impl->begin(relay->connector, 0, NULL);
	contract_send(relay, contract_batch(1, 20));
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	contract_close(relay);
	relay->mark = 10;
	open_until_over(relay);
	assert_true(relay->opened && relay->memory_kind == MEMORY_HELD);
	assert_int_equal(relay->memory_delivered, 20);
	assert_int_equal(relay->notices, 0);
}

static void test_a_new_file_is_readable_by_its_group_alone(void **state)
{
	struct fixture *fixture = *state;
	struct stat status;
	mode_t old = umask(0);
	assert_true(contract_publish(&fixture->relay, 1, LONG_MS));
	umask(old);
	assert_int_equal(stat(place.path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0640);
}

static void test_a_second_writer_is_kept_out_and_named(void **state)
{
	struct fixture *fixture = *state;
	int ready[2];
	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		int fd = open(place.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		char done = flock(fd, LOCK_EX) == 0;
		if (write(ready[1], &done, 1) == 1)
			pause();
		_exit(0);
	}
	char done = 0;
	assert_int_equal(read(ready[0], &done, 1), 1);
	assert_int_equal(done, 1);
	char expected[64];
	snprintf(expected, sizeof(expected), "process %d", (int)child);
	open_until_over(&fixture->relay);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	close(ready[0]);
	close(ready[1]);
	assert_failed(&fixture->relay, MEOW_UNAVAILABLE, expected);
	assert_true(contract_publish(&fixture->relay, 10, LONG_MS)); // it goes on by itself
	contract_check(&fixture->relay, 10);
}

static void test_two_routes_of_one_process_keep_each_other_out(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay other;
	contract_relay_init(&other, &file_sink, fixture->settings);
	assert_true(contract_publish(&fixture->relay, 10, LONG_MS));
	open_until_over(&other);
	bool failed = other.failed && strstr(other.error.text, "is being written by process") != NULL;
	contract_relay_finish(&other);
	assert_true(failed);
	contract_check(&fixture->relay, 10);
}

static void test_reopen_goes_on_in_a_new_file(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	file_connector.reopen(relay->connector); // nothing was moved: nothing changes
	assert_true(contract_publish(relay, 60, LONG_MS));
	assert_int_equal(rename(place.path, place.other), 0);
	assert_true(contract_publish(relay, 100, LONG_MS)); // still in the old one
	assert_int_not_equal(access(place.path, F_OK), 0);
	for (int64_t first = 101; first <= 126; first += 25) {
		file_connector.reopen(relay->connector); // with batches under way
		contract_send(relay, contract_batch(first, 25));
	}
	assert_true(contract_publish(relay, 150, LONG_MS));
	assert_true(file_size(place.path) > 0);
	contract_check(relay, 150);
	contract_close(relay);
	assert_true(contract_publish(relay, 200, LONG_MS));
	contract_check(relay, 200);
}

static void test_a_full_disk_is_said_and_nothing_is_lost_or_torn(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	struct rlimit old, tight;
	assert_true(contract_publish(relay, 50, LONG_MS));
	off_t before = file_size(place.path);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	tight = old;
	tight.rlim_cur = (rlim_t)before + 1000;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	contract_send(relay, contract_batch(51, 25));
	bool over = contract_wait(relay, contract_is_over, LONG_MS);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_true(over);
	assert_failed(relay, MEOW_IO, place.path);
	assert_true(error_may_retry(relay->error.kind));
	assert_int_equal(relay->mark, 50);
	assert_int_equal(file_size(place.path), before); // what did not count is taken back
	assert_true(contract_publish(relay, 100, LONG_MS));
	contract_check(relay, 100);
}

static void test_a_missing_folder_is_named(void **state)
{
	struct fixture *fixture = *state;
	use_path(fixture, "/nowhere/at/all/events.jsonl");
	open_until_over(&fixture->relay);
	assert_failed(&fixture->relay, MEOW_IO, "its folder does not exist");
}

static void test_a_folder_is_no_file(void **state)
{
	struct fixture *fixture = *state;
	use_path(fixture, place.folder);
	open_until_over(&fixture->relay);
	assert_failed(&fixture->relay, MEOW_CONFIG, place.folder);
}

static void test_a_device_is_no_file(void **state)
{
	struct fixture *fixture = *state;
	use_path(fixture, "/dev/null");
	open_until_over(&fixture->relay);
	assert_failed(&fixture->relay, MEOW_CONFIG, "no regular file");
}

static void test_msgpack_is_refused(void **state)
{
	struct fixture *fixture = *state;
	fixture->relay.format = "msgpack";
	assert_false(contract_open(&fixture->relay));
	assert_int_equal(fixture->relay.error.kind, MEOW_CONFIG);
}

static bool is_accepted(const char *path, struct meow_error *ret_err)
{
	struct contract_settings *settings = contract_settings_create(&file_connector);
	contract_set(settings, "path", path);
	bool ok = contract_load(settings, ret_err);
	contract_settings_destroy(settings);
	return ok;
}

static void test_settings_are_checked(void **state)
{
	(void)state;
	struct meow_error err = {0};
	assert_false(is_accepted("", &err));
	assert_int_equal(err.kind, MEOW_CONFIG);
	assert_non_null(strstr(err.text, "path"));
	assert_false(is_accepted("/var/lib/meowmx/", &err));
	assert_non_null(strstr(err.text, "is a folder"));
	assert_true(is_accepted("-", &err));
}

// --- standard output

static int replace_output(int fd)
{
	fflush(stdout);
	int kept = dup(STDOUT_FILENO);
	assert_true(kept >= 0);
	assert_int_equal(dup2(fd, STDOUT_FILENO), STDOUT_FILENO);
	return kept;
}

static void restore_output(int kept)
{
	assert_int_equal(dup2(kept, STDOUT_FILENO), STDOUT_FILENO);
	close(kept);
}

static void test_standard_output_takes_the_same_lines(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	int fd = open(place.path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	use_path(fixture, "-");
	assert_true(contract_open(relay));
	contract_close(relay);
	int kept = replace_output(fd);
	open_until_over(relay);
	bool none = relay->opened && relay->memory_kind == MEMORY_NONE;
	relay->sink->impl->begin(relay->connector, 0, NULL);
	contract_send(relay, contract_batch(1, 100));
	bool idle = contract_wait(relay, contract_is_idle, LONG_MS);
	restore_output(kept);
	close(fd);
	assert_true(none && idle && !relay->failed);
	assert_int_equal(relay->mark, 100);
	contract_check(relay, 100);
}

static void test_standard_output_that_nobody_reads_stops_clearly(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	use_path(fixture, "-");
	int kept = replace_output(ends[1]);
	open_until_over(relay);
	close(ends[0]);
	contract_send(relay, contract_batch(1, 10));
	bool over = contract_wait(relay, contract_is_over, LONG_MS);
	restore_output(kept);
	close(ends[1]);
	assert_true(over);
	assert_failed(relay, MEOW_CONFIG, "nobody reads standard output");
	assert_false(error_may_retry(relay->error.kind));
}

// The thread hangs in a write that nobody reads, with batches lent to it.
static void test_a_connector_that_hangs_can_be_dropped(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	int ends[2];
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	use_path(fixture, "-");
	int kept = replace_output(ends[1]);
	open_until_over(relay);
	for (int64_t first = 1; first < 2000; first += 100)
		contract_send(relay, contract_batch(first, 100));
	bool idle = contract_wait(relay, contract_is_idle, 200);
	int64_t began_us = loop_now_us(relay->loop);
	contract_close(relay);
	int64_t took_us = loop_now_us(relay->loop) - began_us;
	restore_output(kept);
	close(ends[1]);
	close(ends[0]); // lets the thread end
	assert_false(idle);
	assert_true(took_us < 1000000);
}

int main(void)
{
	signal(SIGPIPE, SIG_DFL); // the connector must not need it ignored
	const struct CMUnitTest cases[] = {
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
		CASE(test_zeros_before_a_line_are_cut_off_with_it),
		CASE(test_a_line_that_is_no_json_is_cut_off),
		CASE(test_a_position_that_does_not_rise_is_cut_off),
		CASE(test_a_file_of_nothing_but_a_torn_line_begins_anew),
		CASE(test_lines_longer_than_any_buffer_are_found_again),
		CASE(test_a_foreign_file_is_left_as_it_is),
		CASE(test_a_file_that_ends_below_the_checkpoint_is_said_and_goes_on),
		CASE(test_a_missing_file_is_said_and_goes_on),
		CASE(test_an_older_generation_does_not_count),
		CASE(test_a_new_file_is_readable_by_its_group_alone),
		CASE(test_a_second_writer_is_kept_out_and_named),
		CASE(test_two_routes_of_one_process_keep_each_other_out),
		CASE(test_reopen_goes_on_in_a_new_file),
		CASE(test_a_full_disk_is_said_and_nothing_is_lost_or_torn),
		CASE(test_a_missing_folder_is_named),
		CASE(test_a_folder_is_no_file),
		CASE(test_a_device_is_no_file),
		CASE(test_msgpack_is_refused),
		CASE(test_settings_are_checked),
		CASE(test_standard_output_takes_the_same_lines),
		CASE(test_standard_output_that_nobody_reads_stops_clearly),
		CASE(test_a_connector_that_hangs_can_be_dropped),
	};
	int failed = contract_run("file contract", &file_sink);
	return failed + cmocka_run_group_tests_name("file", cases, NULL, NULL) == 0 ? 0 : 1;
}
