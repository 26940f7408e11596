// A cursor loads pages of a keyset, so that it takes bounded memory whatever it walks over, and holds no snapshot while
// its caller thinks. A first page of few rows shows how large events are; the next have as many as fit. Where rows turn
// out larger than those before, the page is cut, and the next one goes on behind the last one taken. A category or
// everything ends at the settled position: whoever asks for "what comes after N" must not be shown an event above one
// that may still commit.
#include "base/text.h"
#include "store/store_impl.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_BYTES ((size_t)2048 * 1024)
#define PAGE_ROWS_FIRST 100
#define OVERLAP_BYTES 16384 // what an event takes in a batch beside its data, generously
#define PAGE_ROWS_MOST 10000

struct meow_cursor {
	struct meow_store *store;
	struct meow_query query; // its texts are copies in `texts`
	char **texts;
	int64_t next; // bound of the next page
	int64_t left; // events, by the limit
	int64_t page_rows;
	struct batch *page;
	size_t row;
	bool last_page;
	char held_back_by[STORE_HELD_SIZE];
};

// Where the history of an aggregate is cut and written anew between two pages, versions would go on as if nothing had
// been. So each page of an aggregate begins once more with the last event of the page before: while that one stands, all
// before it stand, too.
static const struct meow_event *overlap(const struct meow_cursor *cursor)
{
	return cursor->query.aggregate_id && cursor->page ? &cursor->page->events[cursor->page->count - 1] : NULL;
}

static struct store_page next_page(const struct meow_cursor *cursor)
{
	const struct meow_event *again = overlap(cursor);
	int64_t next = again ? again->version : cursor->next;
	return (struct store_page){
		.from = cursor->query.reverse ? cursor->query.from : next,
		.to = cursor->query.reverse ? next : cursor->query.to,
		.rows = (cursor->page_rows < cursor->left ? cursor->page_rows : cursor->left) + (again ? 1 : 0),
		.bytes = PAGE_BYTES + (again ? again->data.size + again->metadata.size + OVERLAP_BYTES : 0),
		.reverse = cursor->query.reverse,
	};
}

static bool check_overlap(const struct meow_cursor *cursor, const struct batch *page, struct meow_error *err)
{
	const struct meow_event *again = overlap(cursor);
	return !again || (page->count > 0 && page->events[0].position == again->position) ||
		   error_set(err, MEOW_CONFLICT, "the history of %s %s was cut while it was loaded: load again",
			   cursor->query.aggregate_type, cursor->query.aggregate_id);
}

// By the events of this page, with some room for larger ones.
static int64_t rows_that_fit(const struct batch *page)
{
	size_t rows = (PAGE_BYTES - PAGE_BYTES / 8) / (page->bytes / page->count + 1);
	return rows < 1 ? 1 : rows < PAGE_ROWS_MOST ? (int64_t)rows : PAGE_ROWS_MOST;
}

static void take_page(struct meow_cursor *cursor, struct batch *page, int64_t wanted, bool cut)
{
	int64_t overlapping = overlap(cursor) ? 1 : 0, fresh = (int64_t)page->count - overlapping;
	wanted -= overlapping;
	batch_destroy(cursor->page);
	cursor->page = page;
	cursor->row = (size_t)overlapping;
	cursor->last_page = !cut && (fresh < wanted || wanted == cursor->left);
	if (page->count)
		cursor->page_rows = rows_that_fit(page);
}

static bool load_page(struct meow_cursor *cursor, struct meow_error *err)
{
	bool cut = false;
	struct store_page wanted = next_page(cursor);
	struct batch *page = batch_create();
	if (!page)
		return error_no_memory(err);
	if (!cursor->store->impl->load_page(cursor->store, &cursor->query, &wanted, page, &cut, err) ||
		!check_overlap(cursor, page, err)) {
		batch_destroy(page);
		return false;
	}
	take_page(cursor, page, wanted.rows, cut);
	return true;
}

static const char *keep(struct meow_cursor *cursor, size_t place, const char *text)
{
	return text ? (cursor->texts[place] = strdup(text)) : NULL;
}

// Copies the query with its texts. False without memory.
static bool copy_query(struct meow_cursor *cursor, const struct meow_query *query)
{
	size_t types = query->event_types ? query->event_type_count : 0;
	cursor->query = *query;
	cursor->query.event_types = NULL;
	cursor->texts = calloc(types + 3, sizeof(*cursor->texts)); // ends with NULL
	const char **event_types = calloc(types + 1, sizeof(*event_types));
	bool ok = cursor->texts && event_types;
	for (size_t i = 0; ok && i < types; i++)
		ok = (event_types[i] = keep(cursor, i, query->event_types[i])) != NULL;
	if (!ok) {
		free(event_types);
		return false;
	}
	if (query->event_types)
		cursor->query.event_types = event_types;
	else
		free(event_types);
	cursor->query.event_type_count = types;
	if (query->aggregate_type && !(cursor->query.aggregate_type = keep(cursor, types, query->aggregate_type)))
		return false; // the list of texts ends here
	size_t place = types + (query->aggregate_type ? 1 : 0);
	return !query->aggregate_id || (cursor->query.aggregate_id = keep(cursor, place, query->aggregate_id));
}

static bool begin(struct meow_cursor *cursor, struct meow_error *err)
{
	struct meow_query *query = &cursor->query;
	if (query->aggregate_id && !query->aggregate_type)
		return error_set(err, MEOW_INVALID, "an aggregate is named by its type and its id");
	if (!query->aggregate_id &&
		!cursor->store->impl->find_bound(cursor->store, query, &query->to, cursor->held_back_by, err))
		return false;
	cursor->next = query->reverse ? query->to : query->from;
	return load_page(cursor, err);
}

struct meow_cursor *meow_load(struct meow_store *store, const struct meow_query *query, struct meow_error *err)
{
	struct meow_error own;
	struct meow_error *error = err ? err : &own;
	struct meow_cursor *cursor = calloc(1, sizeof(*cursor));
	if (!cursor || !copy_query(cursor, query)) {
		meow_cursor_close(cursor);
		error_no_memory(error);
		return NULL;
	}
	cursor->store = store;
	cursor->left = query->limit > 0 ? query->limit : INT64_MAX;
	cursor->page_rows = PAGE_ROWS_FIRST;
	if (begin(cursor, error))
		return cursor;
	meow_cursor_close(cursor);
	return NULL;
}

bool meow_cursor_next(struct meow_cursor *cursor, struct meow_event *ret_event, bool *ret_found, struct meow_error *err)
{
	struct meow_error own;
	if (cursor->row >= cursor->page->count && !cursor->last_page && !load_page(cursor, err ? err : &own))
		return false;
	if (cursor->row >= cursor->page->count) {
		*ret_found = false;
		return true;
	}
	struct meow_event event = cursor->page->events[cursor->row++];
	cursor->left--;
	int64_t key = cursor->query.aggregate_id ? event.version : event.position;
	cursor->next = cursor->query.reverse ? key - 1 : key + 1;
	*ret_event = event;
	*ret_found = true;
	return true;
}

void meow_cursor_close(struct meow_cursor *cursor)
{
	if (!cursor)
		return;
	batch_destroy(cursor->page);
	for (size_t i = 0; cursor->texts && cursor->texts[i]; i++)
		free(cursor->texts[i]);
	free(cursor->texts);
	free((void *)(uintptr_t)cursor->query.event_types);
	free(cursor);
}

const char *meow_cursor_held_back_by(const struct meow_cursor *cursor)
{
	return *cursor->held_back_by ? cursor->held_back_by : NULL;
}
