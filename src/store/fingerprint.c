#include "store/fingerprint.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *fingerprint_text(const struct store_identity *store, const struct meow_event *event)
{
	struct buffer text;
	buffer_init(&text);
	buffer_printf(&text, "1 %s %" PRIu64 " %" PRIu32 " %" PRId64 " %" PRId64 " %" PRIu64 " %016" PRIx64 " ",
		store->store_id, store->system_identifier, store->timeline, event->position, event->version,
		event->transaction_id, text_hash(TEXT_HASH_START, event->data));
	buffer_put(&text, event->aggregate_id.data, event->aggregate_id.size);
	if (buffer_ok(&text, NULL))
		return text.data; // the caller's now
	buffer_finish(&text);
	return NULL;
}

// Of the data, without blanks around it and with a blank for each of its line breaks.
static uint64_t line_hash(struct meow_bytes data)
{
	static const char blanks[] = " \t\r\n";
	uint64_t hash = TEXT_HASH_START;
	while (data.size && strchr(blanks, data.data[data.size - 1]))
		data.size--;
	while (data.size && strchr(blanks, *data.data)) {
		data.data++;
		data.size--;
	}
	for (size_t i = 0; i < data.size; i++) {
		bool ends = data.data[i] == '\r' || data.data[i] == '\n';
		hash = text_hash(hash, (struct meow_bytes){ends ? blanks : data.data + i, 1});
	}
	return hash;
}

void fingerprint_line_text(const struct meow_event *event, char text[FINGERPRINT_LINE_SIZE])
{
	snprintf(text, FINGERPRINT_LINE_SIZE, "2 %" PRId64 " %" PRId64 " %" PRId64 " %016" PRIx64 " %016" PRIx64 " ",
		event->position, event->version, event->time_us, line_hash(event->data),
		text_hash(TEXT_HASH_START, event->aggregate_id));
}

// The next word of *rest, NUL-terminated into word; false if there is none or it does not fit.
static bool next_word(struct meow_bytes *rest, char *word, size_t size)
{
	const char *space = rest->size ? memchr(rest->data, ' ', rest->size) : NULL;
	if (!space || (size_t)(space - rest->data) >= size || space == rest->data ||
		memchr(rest->data, '\0', (size_t)(space - rest->data)))
		return false;
	size_t length = (size_t)(space - rest->data);
	memcpy(word, rest->data, length);
	word[length] = '\0';
	rest->data += length + 1;
	rest->size -= length + 1;
	return true;
}

// Only as fingerprint_text writes them: what strtoull would take beyond that (blanks, signs, too many digits) is no number
// of ours.
static bool next_natural(struct meow_bytes *rest, uint64_t *ret_number)
{
	char word[24];
	if (!next_word(rest, word, sizeof(word)))
		return false;
	uint64_t number = 0;
	for (const char *at = word; *at != '\0'; at++) {
		uint64_t digit = (uint64_t)(*at - '0');
		if (digit > 9 || number > (UINT64_MAX - digit) / 10)
			return false;
		number = number * 10 + digit;
	}
	*ret_number = number;
	return word[0] != '0' || word[1] == '\0';
}

static bool next_integer(struct meow_bytes *rest, int64_t *ret_number)
{
	char word[24];
	return next_word(rest, word, sizeof(word)) && text_to_int64(bytes_of(word), ret_number) &&
		   (word[0] != '0' || word[1] == '\0') && (word[0] != '-' || word[1] != '0');
}

static bool next_hash(struct meow_bytes *rest, uint64_t *ret_hash)
{
	char word[24];
	if (!next_word(rest, word, sizeof(word)) || strspn(word, "0123456789abcdef") != 16 || word[16] != '\0')
		return false;
	*ret_hash = strtoull(word, NULL, 16);
	return true;
}

static bool parse_line(struct meow_bytes text, struct fingerprint *ret_fingerprint)
{
	struct fingerprint parsed = {.of_line = true};
	if (!next_integer(&text, &parsed.position) || !next_integer(&text, &parsed.version) ||
		!next_integer(&text, &parsed.time_us) || !next_hash(&text, &parsed.data_hash) ||
		!next_hash(&text, &parsed.id_hash) || text.size)
		return false;
	*ret_fingerprint = parsed;
	return true;
}

bool fingerprint_parse(struct meow_bytes text, struct fingerprint *ret_fingerprint)
{
	struct fingerprint parsed = {0};
	char version_word[4];
	uint64_t timeline;
	if (!next_word(&text, version_word, sizeof(version_word)))
		return false;
	if (strcmp(version_word, "2") == 0)
		return parse_line(text, ret_fingerprint);
	if (strcmp(version_word, "1") != 0 || !next_word(&text, parsed.store_id, sizeof(parsed.store_id)) ||
		!next_natural(&text, &parsed.system_identifier) || !next_natural(&text, &timeline) ||
		!next_integer(&text, &parsed.position) || !next_integer(&text, &parsed.version) ||
		!next_natural(&text, &parsed.transaction_id) || !next_hash(&text, &parsed.data_hash))
		return false;
	if (timeline > UINT32_MAX)
		return false;
	parsed.timeline = (uint32_t)timeline;
	parsed.aggregate_id = text;
	*ret_fingerprint = parsed;
	return true;
}

static bool same_event(const struct fingerprint *remembered, const struct meow_event *event)
{
	if (remembered->of_line)
		return remembered->version == event->version && remembered->time_us == event->time_us &&
			   remembered->data_hash == line_hash(event->data) &&
			   remembered->id_hash == text_hash(TEXT_HASH_START, event->aggregate_id);
	return bytes_equal(remembered->aggregate_id, event->aggregate_id) && remembered->version == event->version &&
		   remembered->transaction_id == event->transaction_id &&
		   remembered->data_hash == text_hash(TEXT_HASH_START, event->data);
}

#define BEHIND "the store is behind its sinks (restored, or failed over to a standby that lacked the tail): "

enum fingerprint_verdict fingerprint_compare(const struct fingerprint *remembered, const struct store_identity *store,
	const struct meow_event *event, struct meow_error *err)
{
	if (event) {
		if (same_event(remembered, event))
			return FINGERPRINT_SAME;
		if (remembered->of_line)
			error_set(err, MEOW_CONFIG,
				BEHIND "position %" PRId64 " was another event when it was published than version %" PRId64
					   " of %.*s, which it is now",
				remembered->position, event->version, (int)event->aggregate_id.size, event->aggregate_id.data);
		else
			error_set(err, MEOW_CONFIG,
				BEHIND "position %" PRId64 " was version %" PRId64
					   " of %.*s when it was published, and is version %" PRId64 " of %.*s now",
				remembered->position, remembered->version, (int)remembered->aggregate_id.size,
				remembered->aggregate_id.data, event->version, (int)event->aggregate_id.size, event->aggregate_id.data);
		return FINGERPRINT_BEHIND;
	}
	if (store->last_position < remembered->position) {
		error_set(err, MEOW_CONFIG, BEHIND "position %" PRId64 " was published, and its last position is %" PRId64,
			remembered->position, store->last_position);
		return FINGERPRINT_BEHIND;
	}
	if (remembered->of_line) // whose store it was is not known
		return FINGERPRINT_SAME;
	if (strcmp(store->store_id, remembered->store_id) != 0) {
		error_set(err, MEOW_CONFIG,
			"this is another store (%s) than the one that position %" PRId64
			" was published from (%s), and it has no such event",
			store->store_id, remembered->position, remembered->store_id);
		return FINGERPRINT_BEHIND;
	}
	if (store->system_identifier != remembered->system_identifier || store->timeline != remembered->timeline) {
		error_set(err, MEOW_CONFIG,
			BEHIND "position %" PRId64 " was published on timeline %" PRIu32 " and is missing on timeline %" PRIu32,
			remembered->position, remembered->timeline, store->timeline);
		return FINGERPRINT_BEHIND;
	}
	return FINGERPRINT_SAME;
}
