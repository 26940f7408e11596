// cmd_dead.c: `dead list|show|retry|discard`: the events that are set aside for a route, and a person's decision about them.
#include "cli/cli.h"

#include "base/text.h"
#include "relay/envelope.h"
#include "store/store.h"

#include <stdio.h>
#include <string.h>

#define FLUSH_BYTES ((size_t)64 * 1024)

struct printing {
	struct buffer out;
	struct meow_error err;
	bool failed;
	size_t count;
};

static void put_text(struct buffer *out, const char *key, const char *text)
{
	if (text == NULL)
		return;
	buffer_printf(out, ",\"%s\":", key);
	buffer_put_json(out, bytes_of(text));
}

static bool print_letter(void *arg, const struct store_dead_letter *letter)
{
	struct printing *printing = arg;
	struct buffer *out = &printing->out;
	char time[TEXT_TIME_SIZE];
	text_time(letter->set_aside_at_us, time);
	buffer_printf(out, "{\"position\":%lld", (long long)letter->position);
	if (letter->generation > 0)
		buffer_printf(out, ",\"generation\":%lld", (long long)letter->generation);
	put_text(out, "aggregate_type", letter->aggregate_type);
	put_text(out, "aggregate_id", letter->aggregate_id);
	buffer_printf(out, ",\"version\":%lld", (long long)letter->version);
	put_text(out, "type", letter->event_type);
	put_text(out, "set_aside_at", time);
	put_text(out, "error", letter->error);
	put_text(out, "error_class", letter->error_class);
	if (letter->retry_at > 0)
		buffer_printf(out, ",\"retry_at\":%lld", (long long)letter->retry_at);
	buffer_put_text(out, "}\n");
	printing->count++;
	printing->failed = out->size >= FLUSH_BYTES && !cli_write(out, &printing->err);
	return !printing->failed;
}

// Prints what the filter finds. False: *err says why.
static bool print_letters(
	struct meow_store *store, const struct store_dead_filter *filter, size_t *ret_count, struct meow_error *err)
{
	struct printing printing = {.count = 0};
	buffer_init(&printing.out);
	bool good = store_dead_letters(store, filter, print_letter, &printing, err);
	if (good && printing.failed) {
		*err = printing.err;
		good = false;
	}
	good = good && cli_write(&printing.out, err);
	buffer_finish(&printing.out);
	*ret_count = printing.count;
	return good;
}

int run_dead_list(const struct invocation *invocation)
{
	int status;
	size_t count;
	struct meow_error err;
	const struct store_dead_filter filter = {.subscription = invocation->words[0]};
	struct meow_store *store = cli_open_store(invocation, &status);
	if (store == NULL)
		return status;
	status = print_letters(store, &filter, &count, &err) ? 0 : cli_fail(invocation, &err);
	meow_store_close(store);
	return status;
}

// The event itself, if the store still has it.
static bool print_event(struct meow_store *store, int64_t position, struct meow_error *err)
{
	const struct meow_query query = {.from = position, .to = position};
	struct meow_event event;
	struct buffer out;
	bool found = false;
	struct meow_cursor *cursor = meow_load(store, &query, err);
	bool good = cursor != NULL && meow_cursor_next(cursor, &event, &found, err);
	buffer_init(&out);
	if (good && found) {
		envelope_write(&out, &event, 0);
		buffer_put_char(&out, '\n');
		good = cli_write(&out, err);
	} else if (good) {
		cli_say("the store no longer has the event at position %lld", (long long)position);
	}
	buffer_finish(&out);
	meow_cursor_close(cursor);
	return good;
}

static bool read_position(const struct invocation *invocation, const char *word, int64_t *ret_position)
{
	if (text_to_int64(bytes_of(word), ret_position) && *ret_position > 0)
		return true;
	command_misused(invocation, "POSITION must be that of the event, not \"%s\"", word);
	return false;
}

int run_dead_show(const struct invocation *invocation)
{
	int status;
	size_t count;
	struct meow_error err;
	struct store_dead_filter filter = {.subscription = invocation->words[0]};
	if (!read_position(invocation, invocation->words[1], &filter.position))
		return EXIT_USAGE;
	struct meow_store *store = cli_open_store(invocation, &status);
	if (store == NULL)
		return status;
	bool good = print_letters(store, &filter, &count, &err);
	if (good && count == 0)
		good = error_set(&err, MEOW_MISSING, "no event at position %lld is set aside for %s; see `meowmx dead list %s`",
			(long long)filter.position, filter.subscription, filter.subscription);
	else
		good = good && print_event(store, filter.position, &err);
	status = good ? 0 : cli_fail(invocation, &err);
	meow_store_close(store);
	return status;
}

static bool count_letter(void *arg, const struct store_dead_letter *letter)
{
	(void)letter;
	++*(size_t *)arg;
	return true;
}

// What is done about dead letters.
struct decision {
	const char *verb, *rest; // "Discard" 3 events "of" a route
	bool (*run)(
		struct meow_store *store, const struct store_dead_filter *filter, int64_t *ret_count, struct meow_error *err);
	const char *done; // 3 "discarded"
};

// Says how many they are, and asks.
static bool decide(const struct invocation *invocation, struct meow_store *store, const struct decision *decision,
	const struct store_dead_filter *filter, int *ret_status)
{
	size_t count = 0;
	struct meow_error err;
	char plan[MEOW_ERROR_TEXT_SIZE];
	bool good = store_dead_letters(store, filter, count_letter, &count, &err);
	if (good && count == 0)
		good = error_set(&err, MEOW_MISSING, "there is no such dead letter of %s: see `meowmx dead list %s`",
			filter->subscription, filter->subscription);
	if (!good) {
		*ret_status = cli_fail(invocation, &err);
		return false;
	}
	snprintf(plan, sizeof(plan), "%s %zu event%s%s %s?", decision->verb, count, count == 1 ? "" : "s", decision->rest,
		filter->subscription);
	if (invocation->options[OPTION_DRY_RUN] != NULL) {
		cli_say("%s (dry run: nothing was done)", plan);
		*ret_status = 0;
		return false;
	}
	return cli_confirmed(invocation, plan, ret_status);
}

static int carry_out(const struct invocation *invocation, const struct decision *decision)
{
	int status;
	int64_t count = 0;
	struct meow_error err;
	struct store_dead_filter filter = {.subscription = invocation->words[0]};
	if (invocation->word_count == 2 && !read_position(invocation, invocation->words[1], &filter.position))
		return EXIT_USAGE;
	if (invocation->word_count == 3) {
		filter.aggregate_type = invocation->words[1];
		filter.aggregate_id = invocation->words[2];
	}
	struct meow_store *store = cli_open_store(invocation, &status);
	if (store == NULL)
		return status;
	if (decide(invocation, store, decision, &filter, &status)) {
		bool good = decision->run(store, &filter, &count, &err);
		status = good ? 0 : cli_fail(invocation, &err);
		if (good)
			cli_say(
				"done: %lld %s; a relay that runs sees it within a second or two", (long long)count, decision->done);
	}
	meow_store_close(store);
	return status;
}

int run_dead_discard(const struct invocation *invocation)
{
	return carry_out(invocation,
		&(struct decision){"Discard", ", which will never reach the sink of", store_dead_discard, "discarded"});
}

int run_dead_retry(const struct invocation *invocation)
{
	return carry_out(invocation, &(struct decision){"Publish", " once more, in their order, to the sink of",
									 store_dead_retry, "to be published again"});
}
