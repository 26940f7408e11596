// Append: one transaction, or a savepoint in the one that is open, takes the only write lock before it looks at the
// version, so nothing can come in between. A repetition is known by its token, as in PostgreSQL.
#include "base/text.h"
#include "store/sqlite/lite.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

bool lite_draw_transaction(int64_t *ret_transaction_id, struct meow_error *err)
{
	uint64_t drawn;
	if (getrandom(&drawn, sizeof(drawn), 0) != (ssize_t)sizeof(drawn))
		return error_set(err, MEOW_UNAVAILABLE, "no random numbers from the system");
	*ret_transaction_id = (int64_t)(drawn >> 1);
	return true;
}

bool lite_find_version(struct lite *lite, const char *aggregate_type, const char *aggregate_id, int64_t *ret_version,
	bool *ret_known, struct meow_error *err)
{
	struct lite_call call = lite_call(lite, LITE_AGGREGATE);
	lite_put_text(&call, bytes_of(aggregate_id));
	enum lite_step step = lite_step(&call, err);
	bool ok = step != LITE_FAILED;
	if (step == LITE_ROW) {
		struct meow_bytes type = lite_text(&call, 1);
		if (!lite_good(&call, err))
			ok = false;
		else if (!bytes_equal(type, bytes_of(aggregate_type)))
			ok = store_type_mismatch(aggregate_id, type.data, aggregate_type, err);
		else
			*ret_version = lite_int(&call, 0);
	} else if (ok) {
		*ret_version = -1;
	}
	if (ok && ret_known)
		*ret_known = step == LITE_ROW;
	lite_end(&call);
	return ok;
}

bool lite_set_version(
	struct lite *lite, const char *aggregate_type, const char *aggregate_id, int64_t version, struct meow_error *err)
{
	struct lite_call call = lite_call(lite, LITE_APPEND_AGGREGATE);
	lite_put_text(&call, bytes_of(aggregate_id));
	lite_put_text(&call, bytes_of(aggregate_type));
	lite_put_int(&call, version);
	return lite_run(&call, NULL, err);
}

// A constraint's name says what it was.
static void explain_refusal(struct lite_call *call, const struct meow_new_event *event, struct meow_error *err)
{
	const char *words = sqlite3_errmsg(call->lite->db);
	if (call->failed != SQLITE_CONSTRAINT_CHECK)
		return;
	bool of_metadata = strstr(words, "metadata_is_json");
	if (!of_metadata && !strstr(words, "data_is_json"))
		return;
	if (!lite_lacked_memory(call->lite, of_metadata ? event->metadata : event->data, err))
		error_set_code(err, MEOW_INVALID, err->code, "the %s is not valid JSON", of_metadata ? "metadata" : "data");
}

bool lite_insert_event(struct lite *lite, const struct lite_new_events *common, const struct meow_new_event *event,
	int64_t version, int64_t *ret_position, struct meow_error *err)
{
	struct lite_call call = lite_call(lite, LITE_APPEND_EVENT);
	lite_put_int(&call, common->transaction_id);
	lite_put_text(&call, bytes_of(common->aggregate_id));
	lite_put_text(&call, bytes_of(common->aggregate_type));
	lite_put_int(&call, version);
	lite_put_text(&call, event->type);
	lite_put_text(&call, event->data);
	lite_put_text(&call, event->metadata);
	lite_put_text(&call, bytes_of(common->token));
	lite_put_int(&call, event->time_us == MEOW_NO_TIME ? common->now_us : event->time_us);
	enum lite_step step = lite_step(&call, err);
	if (step == LITE_ROW) {
		*ret_position = lite_int(&call, 0);
		step = lite_step(&call, err);
	}
	if (step == LITE_FAILED)
		explain_refusal(&call, event, err);
	lite_end(&call);
	return step == LITE_DONE;
}

// --- tokens ---

// A UUID as PostgreSQL takes it, with or without hyphens and braces, in the form that is stored.
static bool take_token(const char *text, char ret_token[STORE_UUID_SIZE], struct meow_error *err)
{
	static const char hyphen_before[] = {8, 12, 16, 20};
	size_t length = strlen(text), digits = 0, size = 0;
	bool braces = length > 2 && text[0] == '{' && text[length - 1] == '}';
	for (size_t i = braces; i < length - braces; i++) {
		char c = text[i];
		if (c == '-' && digits > 0 && digits % 4 == 0)
			continue;
		c = (char)(c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
		bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
		if (!hex || digits == 32)
			return error_set(err, MEOW_INVALID, "the token \"%.60s\" is no UUID", text);
		if (memchr(hyphen_before, (int)digits, sizeof(hyphen_before)))
			ret_token[size++] = '-';
		ret_token[size++] = c;
		digits++;
	}
	ret_token[size] = '\0';
	return digits == 32 || error_set(err, MEOW_INVALID, "the token \"%.60s\" is no UUID", text);
}

// What a try has come to. The ids of one transaction follow each other: nobody else draws any meanwhile.
struct outcome {
	struct meow_appended last;
	size_t count;
	int64_t found; // the version that is there instead
};

// Whether the token's events are there: beginning with the one behind the expected version or, with any, anywhere.
static enum lite_step find_repeated(struct lite *lite, const struct meow_append *append, const char *token,
	struct outcome *outcome, struct meow_error *err)
{
	int64_t first = append->expected == MEOW_EXPECT_ANY ? -1 : append->expected + 1;
	struct lite_call call = lite_call(lite, LITE_APPEND_REPEATED);
	lite_put_text(&call, bytes_of(append->aggregate_id));
	lite_put_int(&call, first > 0 ? first - 1 : 0);
	lite_put_text(&call, bytes_of(token));
	struct meow_appended found = {.repeated = true};
	size_t count = 0;
	enum lite_step step;
	while ((step = lite_step(&call, err)) == LITE_ROW) {
		found.version = lite_int(&call, 0);
		found.position = lite_int(&call, 1);
		if (count == 0 && first >= 0 && found.version != first)
			break; // the token's append began before: it is not this one
		count++;
	}
	lite_end(&call);
	if (step == LITE_FAILED)
		return LITE_FAILED;
	if (count == 0)
		return LITE_DONE;
	outcome->last = found;
	outcome->count = count;
	return LITE_ROW;
}

// --- append ---

// The aggregate stands at `last` already.
static bool add(struct lite *lite, const struct meow_append *append, const char *token, int64_t last,
	struct outcome *outcome, struct meow_error *err)
{
	struct lite_new_events common = {.aggregate_type = append->aggregate_type,
		.aggregate_id = append->aggregate_id,
		.token = token,
		.now_us = lite_now_us()};
	int64_t version = last - (int64_t)append->count, position = 0;
	if (last > INT32_MAX)
		return error_set(err, MEOW_INVALID, "aggregate %s has too many events", append->aggregate_id);
	if (!lite_draw_transaction(&common.transaction_id, err))
		return false;
	for (size_t i = 0; i < append->count; i++) {
		if (lite_insert_event(lite, &common, &append->events[i], ++version, &position, err))
			continue;
		struct meow_error reason = *err;
		if (reason.kind == MEOW_INVALID && append->count > 1)
			error_set_code(err, reason.kind, reason.code, "event %zu: %s", i + 1, reason.text);
		return false;
	}
	outcome->last = (struct meow_appended){.version = last, .position = position};
	outcome->count = append->count;
	return true;
}

// Most appends name a version, and it is the one that is there: then this is all there is to check.
static enum lite_step move(struct lite *lite, const struct meow_append *append, struct meow_error *err)
{
	uint64_t moved = 0;
	if (append->expected < 0)
		return LITE_DONE;
	struct lite_call call = lite_call(lite, LITE_APPEND_MOVE);
	lite_put_text(&call, bytes_of(append->aggregate_id));
	lite_put_text(&call, bytes_of(append->aggregate_type));
	lite_put_int(&call, append->expected);
	lite_put_int(&call, append->expected + (int64_t)append->count);
	return !lite_run(&call, &moved, err) ? LITE_FAILED : moved ? LITE_ROW : LITE_DONE;
}

static bool append_locked(struct lite *lite, const struct meow_append *append, const char *token,
	struct outcome *outcome, struct meow_error *err)
{
	int64_t version, count = (int64_t)append->count;
	enum lite_step moved = move(lite, append, err);
	if (moved != LITE_DONE)
		return moved == LITE_ROW && add(lite, append, token, append->expected + count, outcome, err);
	if (!lite_find_version(lite, append->aggregate_type, append->aggregate_id, &version, NULL, err))
		return false;
	bool fits = append->expected == MEOW_EXPECT_ANY || append->expected == version;
	if (!fits || (append->expected == MEOW_EXPECT_ANY && append->token)) {
		enum lite_step repeated = find_repeated(lite, append, token, outcome, err);
		if (repeated != LITE_DONE)
			return repeated == LITE_ROW;
	}
	if (fits)
		return lite_set_version(lite, append->aggregate_type, append->aggregate_id, version + count, err) &&
			   add(lite, append, token, version + count, outcome, err);
	outcome->found = version;
	return store_conflict(append, version, err);
}

static void hand_out(const struct meow_append *append, const struct outcome *outcome, struct meow_appended *ret)
{
	int64_t first = outcome->last.position - (int64_t)outcome->count + 1;
	for (size_t i = 0; append->ret_positions && i < append->count && i < outcome->count; i++)
		append->ret_positions[i] = first + (int64_t)i;
	if (ret)
		*ret = outcome->last;
}

bool lite_append(struct meow_store *base, const struct meow_append *append, struct meow_appended *ret,
	int64_t *ret_found, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	struct lite_transaction transaction;
	struct outcome outcome = {.found = MEOW_NO_VERSION};
	char token[STORE_UUID_SIZE];
	if (append->token ? !take_token(append->token, token, err) : !store_random_uuid(token, err))
		return false;
	bool begun = lite_ready(lite, err) && lite_begin(lite, &transaction, err);
	if (begun && lite_finish(lite, &transaction, append_locked(lite, append, token, &outcome, err), err)) {
		hand_out(append, &outcome, ret);
		return true;
	}
	if (err->kind == MEOW_CONFLICT && ret_found)
		*ret_found = outcome.found;
	return false;
}
